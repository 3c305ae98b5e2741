"""Compare speed with the last committed record, in about two minutes, and name what became slower beyond noise.

    python -m benchmarks.regression            # compare; exit code 1 if something became slower
    python -m benchmarks.regression --record   # write the record that later runs are compared with

Each measurement is a ratio: the time of a part of everypose over that of a reference that everypose does not change, in
the same round. On another machine, with other versions of the libraries or next to much other work the ratios differ
for reasons of their own: they are printed, and the exit code is 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.performance import machine
from benchmarks.performance.made_batches import made_batch, random_outputs
from benchmarks.performance.photos import annotated, photos_of
from benchmarks.performance.record import Options
from benchmarks.performance.timing import Effort, Run, Spread, Timings, in_turns
from benchmarks.performance.ways import config_of, noise, on_threads, random_network
from everypose.data.images import read_image
from everypose.drawing import draw_people, encode
from everypose.export.onnx import export_onnx
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxRuntime
from everypose.methods.boir.losses import losses
from everypose.methods.boir.settings import BoIRLosses, BoIRSettings
from everypose.methods.single_stage.augmentation import draw
from everypose.methods.single_stage.samples import make_sample
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from everypose.methods.single_stage.targets import render_targets
from everypose.models.locate import bundled

RECORD = Path("docs/evidence/logs/performance/regression.json")
SECONDS = 100
ROUNDS = 15
PRODUCT, DECODE, PYTHON = "matrix product of 1024", "JPEG decoding", "python alone"
REFERENCES = {
    "BoIR-W32 at 256": PRODUCT,
    "boir-lite": PRODUCT,
    "mipnet-lite, 10 crops": PRODUCT,
    "BoIR's losses and their gradient": PRODUCT,
    "a training sample of 512": DECODE,
    "an image drawn and encoded": DECODE,
    "import everypose": PYTHON,
    "everypose --help": PYTHON,
}
"""What is measured, and by what it is divided."""
MOST_OTHERS = 1.0
"""Cores that other work may keep busy; more slows what has several threads more than its reference."""
LARGEST_CHANGE = 1.15
"""A ratio that grew by less is not flagged, even if the quartiles are apart."""


@dataclass(frozen=True)
class Measured:
    """A record: ratios of each round by name."""

    command: str
    date: str
    machine: str
    versions: str
    others: float
    ratios: dict[str, list[float]]

    @classmethod
    def read(cls, path: Path) -> "Measured":
        """Read a record of :func:`main`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Change:
    """A ratio before and now."""

    name: str
    before: Spread
    now: Spread

    @property
    def factor(self) -> float:
        """The new ratio relative to the earlier one."""
        return self.now.median / self.before.median

    @property
    def verdict(self) -> str:
        """``slower`` or ``faster`` where the quartiles are apart and the medians differ enough, else nothing."""
        if self.now.low > self.before.high and self.factor > LARGEST_CHANGE:
            return "slower"
        if self.now.high < self.before.low and self.factor < 1 / LARGEST_CHANGE:
            return "faster"
        return ""


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and write the record or compare with it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regression", description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the record in place of comparing")
    parser.add_argument("--path", type=Path, default=RECORD, help="the record")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no new round begins after this time")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    now = measure(Effort(given.seconds, most=ROUNDS), given.threads)
    if given.record:
        given.path.write_text(json.dumps(asdict(now), indent=1) + "\n", encoding="utf-8")
        print(given.path)
        return 0
    return report(Measured.read(given.path), now)


def report(before: Measured, now: Measured) -> int:
    """Print the changes; 1 if something became slower on the machine of the record, without much other work on it."""
    same = (before.machine, before.versions) == (now.machine, now.versions)
    disturbed = now.others > MOST_OTHERS
    found = changes(before, now)
    print("| time of | over that of | before | now | factor | |\n|---|---|---|---|---|---|")
    for one in found:
        cells = f"{one.before:.2f}", f"{one.now:.2f}", f"{one.factor:.2f}", one.verdict
        print("| " + " | ".join((one.name, REFERENCES[one.name], *cells)) + " |")
    if not same:
        print(f"The record is of another machine or other versions: {before.machine}; {before.versions}")
    if disturbed:
        print(f"Other processes used {now.others:.1f} cores meanwhile: measure again on an idle machine")
    return int(same and not disturbed and any(one.verdict == "slower" for one in found))


def changes(before: Measured, now: Measured) -> list[Change]:
    """What both records have."""
    return [
        Change(name, Spread.of(before.ratios[name]), Spread.of(values))
        for name, values in now.ratios.items()
        if name in before.ratios
    ]


def measure(effort: Effort, threads: int) -> Measured:
    """All candidates and references in turns."""
    start = machine.Moment.now()
    with tempfile.TemporaryDirectory() as folder:
        timings = in_turns(candidates(Path(folder), threads), effort)
    return Measured(
        command=f"python -m benchmarks.regression --record --seconds {effort.seconds:g} --threads {threads}",
        date=date.today().isoformat(),
        machine=machine.describe(),
        versions=machine.versions(),
        others=round(machine.Moment.now().others_since(start), 2),
        ratios=ratios(timings, REFERENCES),
    )


def ratios(timings: Timings, references: Mapping[str, str]) -> dict[str, list[float]]:
    """The ratio of each candidate in each round."""
    return {
        name: [a / b for a, b in zip(timings.seconds[name], timings.seconds[other], strict=True)]
        for name, other in references.items()
    }


def candidates(folder: Path, threads: int) -> dict[str, Run]:
    """What is timed, the references among it."""
    cv2.setNumThreads(threads)
    (photo,) = photos_of(Options(), folder, 1)
    product = torch.randn(1024, 1024)
    return {
        PRODUCT: on_threads(threads, lambda: [product @ product for _ in range(8)]),
        DECODE: lambda: [read_image(photo) for _ in range(10)],
        PYTHON: python("-c", "pass"),
        "import everypose": python("-c", "import everypose"),
        "everypose --help": python("-m", "everypose", "--help"),
        "BoIR-W32 at 256": boir(folder, threads),
        "boir-lite": bundled_model("boir-lite", threads),
        "mipnet-lite, 10 crops": bundled_model("mipnet-lite", threads),
        "BoIR's losses and their gradient": on_threads(threads, losses_and_gradient()),
        "a training sample of 512": training_samples(folder),
        "an image drawn and encoded": drawing(photo, threads),
    }


def python(*words: str) -> Run:
    """A process of Python."""
    return partial(subprocess.run, [sys.executable, *words], check=True, capture_output=True)


def boir(folder: Path, threads: int) -> Run:
    """The network of random weights in ONNX Runtime, ten people."""
    config = config_of(BoIRSettings(auxiliary=False), 256)
    export_onnx(random_network(config), config, folder / "boir.onnx")
    runtime, images = OnnxRuntime.open(folder / "boir.onnx", threads=threads), noise(config)
    return lambda: runtime.run(images)


def bundled_model(name: str, threads: int) -> Run:
    """The network alone, on noise."""
    path = bundled(f"{name}.onnx")
    if name == "boir-lite":
        images = OnnxRuntime.open(path, threads=threads)
        batch = noise(images.config)
        return lambda: images.run(batch)
    crops = OnnxCropRuntime.open(path, threads=threads)
    several = noise(crops.config, 10)
    return lambda: crops.run(several)


def losses_and_gradient() -> Run:
    """Of four images of 256 with seven people each."""
    batch = made_batch(4, 256)

    def run() -> None:
        targets = render_targets(batch)
        outputs = random_outputs(targets)
        torch.stack(list(losses(outputs, targets, BoIRLosses()).values())).sum().backward()

    return run


def training_samples(folder: Path) -> Run:
    """Ten samples from the file on."""
    scenes = annotated(Options(), folder, 1)
    scene = scenes.scenes[0]
    draws = draw(np.random.default_rng(0), ImageAugmentation(), scene)

    def run() -> None:
        for _ in range(10):
            make_sample(scene, read_image(scene.path), scenes.skeleton, ImageSampleSettings(), draws=draws)

    return run


def drawing(photo: Path, threads: int) -> Run:
    """Ten pictures with the people that boir-lite finds."""
    people = load("boir-lite", threads=threads)(photo)
    assert people.image is not None
    image = people.image
    return lambda: [encode(draw_people(image, people), ".jpg") for _ in range(10)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
