"""The device that ``--device auto`` chooses: time and agreement of each candidate, and the AP on annotated photos."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.performance.accuracy import ap
from benchmarks.performance.float_models import in_float32
from benchmarks.performance.record import Findings, Options, Table, Target
from everypose.inference.device_check import Candidate
from everypose.inference.device_choice import LEAST_AGREEMENT, DeviceChoice
from everypose.inference.loading import choose_device
from everypose.models.locate import bundled

LARGEST_LOSS = 0.3
"""AP points between the chosen device and ONNX Runtime."""
GOAL = f"--device auto changes AP by at most {LARGEST_LOSS} points"


def measure(options: Options) -> Findings:
    """Check the bundled models, and their weights in float32, and evaluate them on every device."""
    with tempfile.TemporaryDirectory() as folder:
        models = {"boir-lite": bundled("boir-lite.onnx")}
        if not options.quick:
            models["mipnet-lite"] = bundled("mipnet-lite.onnx")
            models["boir-lite, float32"] = in_float32(models["boir-lite"], Path(folder, "float32.onnx"))
        rows: list[tuple[str, ...]] = []
        losses: list[float] = []
        seconds: list[float] = []
        for name, model in models.items():
            begin = time.monotonic()
            choice = checked(model, options, Path(folder, "home"))
            seconds.append(time.monotonic() - begin)
            points = evaluated(model, choice, options)
            rows += [row(name, one, choice, points) for one in choice.candidates]
            if points:
                losses.append(abs(points[choice.device] - points[choice.candidates[0].device]))
    header = ("model", "device", "ms, two pictures", "share of cpu", "agreement", "AP", "chosen")
    found = f"{max(losses):.2f}" if losses else "no annotated photos were given"
    target = Target(GOAL, found, max(losses) <= LARGEST_LOSS if losses else None)
    notes = [
        "Agreement is the mean OKS with the people of cpu, which is ONNX Runtime. "
        f"A device below {LEAST_AGREEMENT} is not chosen.",
        f"The check took {', '.join(f'{each:.0f}' for each in seconds)} s.",
    ]
    if losses and options.test_annotations is not None:
        notes.append(f"AP is COCO's on {options.test_annotations.name}, with the boxes of the default detector.")
    return Findings([target], [Table(header, rows, f"{options.threads} threads")], notes)


def checked(model: Path, options: Options, home: Path) -> DeviceChoice:
    """A new choice, stored in a folder of its own."""
    before = os.environ.get("EVERYPOSE_HOME")
    os.environ["EVERYPOSE_HOME"] = str(home)
    try:
        return choose_device(model, threads=options.threads)
    finally:
        os.environ.pop("EVERYPOSE_HOME")
        if before is not None:
            os.environ["EVERYPOSE_HOME"] = before


def evaluated(model: Path, choice: DeviceChoice, options: Options) -> dict[str, float]:
    """AP points by device; none without annotated photos."""
    if options.photos is None or options.test_annotations is None or options.quick:
        return {}
    usable = [one.device for one in choice.candidates if one.seconds is not None]
    return {device: 100 * ap(model, options.photos, options.test_annotations, device) for device in usable}


def row(name: str, one: Candidate, choice: DeviceChoice, points: Mapping[str, float]) -> tuple[str, ...]:
    """A device of a model."""
    reference = choice.candidates[0].seconds
    assert reference is not None
    measured = ("", "") if one.seconds is None else (f"{1000 * one.seconds:.0f}", f"{one.seconds / reference:.0%}")
    agreement = "" if one.agreement is None else f"{one.agreement:.4f}"
    value = f"{points[one.device]:.2f}" if one.device in points else ""
    return name, one.device, *measured, agreement, value, "yes" if one.device == choice.device else ""
