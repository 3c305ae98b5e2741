"""What int8 costs in AP, of a trained model on annotated photos, by `everypose evaluate`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.performance.record import Findings, Options, Table, Target
from everypose.quantisation import quantise

GOAL = "at most 0.5 AP lost by int8 on real photos"
LEFT_OUT = "The AP that int8 costs was not measured: it needs --trained, --photos and --test-annotations."


def accuracy_of_int8(options: Options) -> Findings:
    """AP of a trained model in float32 and in int8, whose ranges are taken from the photos' whole folder."""
    if options.trained is None or options.photos is None or options.test_annotations is None:
        return Findings([Target(GOAL, "no trained model was given", None)], notes=[LEFT_OUT])
    with tempfile.TemporaryDirectory() as folder:
        int8 = Path(folder, "int8.onnx")
        seen = quantise(options.trained, [str(options.photos)], int8)
        before, after = (ap(model, options.photos, options.test_annotations) for model in (options.trained, int8))
    rows = [(options.trained.stem, f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (before - after):+.1f}")]
    target = Target(GOAL, f"{100 * (before - after):.1f}", before - after <= 0.005)
    note = f"int8's ranges are those seen on {seen} photos; the AP is that of {options.test_annotations.name}."
    return Findings([target], [Table(("model", "AP, float32", "AP, int8", "lost"), rows)], [note])


def ap(model: Path, photos: Path, annotations: Path) -> float:
    """COCO's AP of a model, without flip test."""
    command = [sys.executable, "-m", "everypose", "evaluate", str(model), "--annotations", str(annotations)]
    done = subprocess.run([*command, "--images", str(photos), "--json"], capture_output=True, text=True, check=True)
    numbers = json.loads(done.stdout)["numbers"]
    return float(numbers[""]["AP"])
