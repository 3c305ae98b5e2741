"""Section 5: throughput of a folder of photos relative to that of the network alone, and memory."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.performance.machine import resident_memory
from benchmarks.performance.photos import MADE, photos_of
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Spread
from everypose.core.process_setup import available_threads
from everypose.inference.bulk import predict_all
from everypose.inference.estimator import Estimator, Prepared
from everypose.inference.inputs import find_images
from everypose.inference.loading import load
from everypose.inference.outputs import open_outputs
from everypose.inference.run_files import OutputOptions
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.inference.runtimes.protocols import RawPoses
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.locate import bundled

MODEL = "boir-lite"
NETWORK, OVERLAPPED = (
    "the network alone, one run at a time",
    "the network alone, with the runs at a time of the folder",
)
ALL = "the folder: pictures and JSON"
SAVED = {ALL: ("pictures", "json"), "the folder: JSON only": ("json",)}
"""What is written for each photo, as `everypose predict --save` has it."""
PARTS = 3
GOALS = {NETWORK: 95, OVERLAPPED: 95}
"""Percent of the photos a second of each form of the network alone."""
LONG = 10_000
SMALL = (160, 128)
STEADY = 20.0
"""Megabytes in the long run that are not called growth."""


def measure(options: Options) -> Findings:
    """Throughput with the bundled model, then memory in a long run with a stand-in for it."""
    count, long = (PARTS, 40) if options.quick else (options.images, LONG)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = photos_of(options, folder, min(count, 60))
        rates = throughput(few, count, folder)
        memory = memory_in_long_run(few[0], long, folder)
    shares = {
        stage: {form: Spread.of((100 * each / rates[stage]).tolist()) for form, each in rates.items()}
        for stage in (NETWORK, OVERLAPPED)
    }
    rows = [
        (form, f"{Spread.of(each.tolist()):.1f}", *(f"{shares[stage][form]:.0f}" for stage in shares))
        for form, each in rates.items()
    ]
    grown = memory[-1] - memory[1]
    tenths = tuple(f"{10 * tenth} %" for tenth in range(1, 11))
    origin = MADE if options.photos is None else "from the given folder"
    targets = [
        *(
            Target(f"at least {goal} % of {stage}", f"{shares[stage][ALL]:.0f} %", shares[stage][ALL].median >= goal)
            for stage, goal in GOALS.items()
        ),
        Target(f"memory flat over {long} images", f"{grown:+.0f} MB from 20 % of the run to its end", grown < STEADY),
    ]
    tables = [
        Table(
            ("form", "photos a second", "% of one run at a time", "% of as many as in the folder"),
            rows,
            f"{count} photos of 640 x 480 {origin}, in {PARTS} parts, {MODEL}, {available_threads()} threads",
        ),
        Table(
            ("after", *tenths),
            [("MB held", *(f"{value:.0f}" for value in memory))],
            f"{long} small photos, drawn and written, with a stand-in that finds five people in each",
        ),
    ]
    note = (
        "The network alone has its inputs in memory and uses all threads. One run at a time does not keep all threads "
        "busy; two do, and on two cores have one thread each. Reading, drawing and writing need the same cores: with "
        "few cores, the folder is slower than two runs of the network alone by the time of that work, even if it "
        "overlaps completely."
    )
    return Findings(targets, tables, [note])


def throughput(few: Sequence[Path], count: int, folder: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Photos a second of each part of the folder (parts,), by form; the forms take turns on each part."""
    estimator = load(MODEL)
    many(few, folder / "photos", count)
    sources = find_images([str(folder / "photos")])
    rates: dict[str, list[float]] = {NETWORK: [], OVERLAPPED: [], **{form: [] for form in SAVED}}
    for part in range(PARTS):
        own = sources[part::PARTS]
        prepared = [estimator.prepare(source.path) for source in own]
        rates[NETWORK].append(one_run_at_a_time(estimator, prepared))
        rates[OVERLAPPED].append(runs_of_the_folder(estimator, prepared))
        del prepared
        for form, save in SAVED.items():
            with open_outputs(folder / "out", own, OutputOptions(save=tuple(save))) as outputs:
                rates[form].append(len(own) / predict_all(estimator, own, outputs, quiet=True).seconds)
    return {form: np.array(each) for form, each in rates.items()}


def one_run_at_a_time(estimator: Estimator, prepared: Sequence[Prepared]) -> float:
    """Images a second, from inputs in memory, batched as the pipeline does."""
    estimator.predict(prepared[:1])
    begin = time.perf_counter()
    for first in range(0, len(prepared), estimator.batch_size):
        estimator.predict(prepared[first : first + estimator.batch_size])
    return len(prepared) / (time.perf_counter() - begin)


def runs_of_the_folder(estimator: Estimator, prepared: Sequence[Prepared]) -> float:
    """Images a second, from inputs in memory, with as many runs at a time as the pipeline has."""
    size = estimator.batch_size
    batches = ([(None, one) for one in prepared[first : first + size]] for first in range(0, len(prepared), size))
    begin = time.perf_counter()
    for _ in estimator.predict_batches(batches):
        pass
    return len(prepared) / (time.perf_counter() - begin)


class StandIn:
    """Finds five people in every image, at no cost; notes the memory held as it goes."""

    def __init__(self, keypoints: int, images: int) -> None:
        self.memory: list[float] = []
        self._every = images // 10
        self._seen = 0
        self._poses = np.random.default_rng(0).uniform(0, 60, (5, keypoints, 3)).astype(np.float32)

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:  # noqa: ARG002
        """Five people in each image."""
        before, self._seen = self._seen, self._seen + len(images)
        if before // self._every < self._seen // self._every:
            self.memory.append(resident_memory())
        index = np.repeat(np.arange(len(images)), 5)
        return np.tile(self._poses, (len(images), 1, 1)), np.ones(len(index), np.float32), index


def memory_in_long_run(photo: Path, count: int, folder: Path) -> list[float]:
    """Megabytes held at each tenth of a run over many small photos."""
    config = OnnxRuntime.open(bundled(f"{MODEL}.onnx"), threads=1).config
    small = config.model_copy(update={"inference": config.on_images.model_copy(update={"size": 64, "nms": 1.0})})
    stand_in = StandIn(len(config.skeleton), count)
    cv2.imwrite(str(folder / "small.jpg"), cv2.resize(cv2.imread(str(photo)), SMALL))
    many([folder / "small.jpg"], folder / "small", count)
    sources = find_images([str(folder / "small")])
    with open_outputs(folder / "long", sources) as outputs:
        predict_all(SingleStageEstimator(stand_in, small), sources, outputs, quiet=True)
    return stand_in.memory


def many(photos: Sequence[Path], folder: Path, count: int) -> None:
    """A folder of ``count`` photos; those that are the same share a place on the disk."""
    originals = folder.parent / f"{folder.name}-originals"
    originals.mkdir()
    folder.mkdir()
    copies = [Path(shutil.copy(photo, originals)) for photo in photos]
    for number, copy in zip(range(count), cycle(copies), strict=False):
        os.link(copy, folder / f"{number:06}.jpg")
