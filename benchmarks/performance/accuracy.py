"""AP loss of int8 of a trained model on annotated photos, by `everypose evaluate` in each runtime."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.ways import runtimes
from everypose.export.int8 import quantize

GOAL = "at most 0.5 AP lost by int8 on real photos"
LEFT_OUT = "The AP that int8 costs was not measured: it needs --trained, --photos and --test-annotations."


def accuracy_of_int8(options: Options) -> Findings:
    """AP of a trained model in float32 and in int8, whose ranges are taken from the photos' whole folder.

    What is lost is lost against float32 in ONNX Runtime; the target is judged on the runtime that loses most.
    """
    if options.trained is None or options.photos is None or options.test_annotations is None:
        return Findings([Target(GOAL, "no trained model was given", None)], notes=[LEFT_OUT])
    with tempfile.TemporaryDirectory() as folder:
        int8 = Path(folder, "int8.onnx")
        seen = quantize(options.trained, [str(options.photos)], int8)
        found = {
            name: [ap(model, options.photos, options.test_annotations, device) for model in (options.trained, int8)]
            for name, device in runtimes().items()
        }
    before = next(iter(found.values()))[0]
    rows = [
        (options.trained.stem, name, *(f"{100 * each:.1f}" for each in aps), f"{100 * (before - aps[1]):+.1f}")
        for name, aps in found.items()
    ]
    name, lost = max(((name, before - aps[1]) for name, aps in found.items()), key=lambda pair: pair[1])
    target = Target(GOAL, f"{100 * lost:.1f}, {name}", lost <= 0.005)
    note = f"int8's ranges are those seen on {seen} photos; the AP is that of {options.test_annotations.name}."
    header = ("model", "runtime", "AP, float32 file", "AP, int8 file", "lost by int8")
    return Findings([target], [Table(header, rows)], [note])


def ap(model: Path, photos: Path, annotations: Path, device: str) -> float:
    """COCO's AP of a model, without flip test."""
    command = [sys.executable, "-m", "everypose", "evaluate", str(model), "--annotations", str(annotations)]
    given = ["--images", str(photos), "--device", device, "--json"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=True)
    numbers = json.loads(done.stdout)["numbers"]
    return float(numbers[""]["AP"])
