"""Section 3: the bundled model from file to people, step by step, compared with a cascade of detector and crops."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.performance.photos import MADE, photos_of
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Effort, Spread, in_turns
from benchmarks.performance.ways import NO_OPENVINO, ONNX, OPENVINO, runtimes
from benchmarks.side_by_side import cascade, measured, single
from everypose.core.arrays import Image
from everypose.data.images import read_image
from everypose.inference.resize import resize
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.inference.runtimes.protocols import RawPoses
from everypose.inference.single_stage import Resized, SingleStageEstimator
from everypose.models.locate import bundled

SECONDS = 60
MODEL = "boir-lite"
PHOTOS = 60
GOAL = "faster than a cascade of YOLOX-nano and a small network on crops, from the second person on"
NO_CASCADE = "The cascade was not measured: it needs --detector and --crop-network."
GROUPS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 1000))

Step = Callable[[Any], Any]


def measure(options: Options) -> Findings:
    """The steps of one photo, its network in each runtime, then the cascade, if there is one."""
    cv2.setNumThreads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        photos = photos_of(options, Path(folder), 2 if options.quick else PHOTOS)
        steps = steps_of(options.threads)
        seconds = step_by_step(steps, photos, options.effort(0.3 * SECONDS))
        network = in_runtimes(options, photos)
        cascade = against_cascade(options, photos)
    origin = MADE if options.photos is None else "from the given folder"
    note = f"{len(photos)} photos of 640 x 480, {origin}; ms and % are the median and quartiles over photos and rounds."
    tables = [table_of(list(steps), seconds, options.threads), *network.tables, *cascade.tables]
    return Findings(cascade.targets, tables, [note, *network.notes, *cascade.notes])


def steps_of(threads: int) -> dict[str, Step]:
    """The steps for a photo; each takes the previous one's result."""
    runtime = OnnxRuntime.open(bundled(f"{MODEL}.onnx"), threads=threads)
    estimator = SingleStageEstimator(runtime, runtime.config)
    config = runtime.config.on_images

    def prepared(image: Image) -> Resized:
        return Resized(image, *resize(image, config.size, config.step))

    def found(one: Resized) -> tuple[Resized, RawPoses]:
        return one, runtime.run(one.canvas[None], estimator.min_score)

    return {
        "read and decode the file": read_image,
        "resize": prepared,
        "network and its decoding": found,
        "people: back to the photo, NMS": lambda pair: estimator._people(pair[1], 0, pair[0]),
    }


def step_by_step(steps: Mapping[str, Step], photos: Sequence[Path], effort: Effort) -> npt.NDArray[np.float64]:
    """Seconds (rounds, photos, steps)."""
    one_photo(steps, photos[0])
    rounds: list[list[list[float]]] = []
    begin = time.monotonic()
    while len(rounds) < effort.least or (len(rounds) < effort.most and time.monotonic() - begin < effort.seconds):
        rounds.append([one_photo(steps, photo) for photo in photos])
    return np.array(rounds)


def one_photo(steps: Mapping[str, Step], photo: Path) -> list[float]:
    """Seconds of each step."""
    value: Any = photo
    marks = [time.perf_counter()]
    for step in steps.values():
        value = step(value)
        marks.append(time.perf_counter())
    return np.diff(marks).tolist()


def table_of(names: Sequence[str], seconds: npt.NDArray[np.float64], threads: int) -> Table:
    """One row for each step, and one for all."""
    whole = seconds.sum(axis=-1)
    columns = [*zip(names, np.moveaxis(seconds, -1, 0), strict=True), ("all", whole)]
    rows = [
        (
            name,
            f"{Spread.of((1000 * each).ravel().tolist()):.1f}",
            f"{Spread.of((100 * each / whole).ravel().tolist()):.0f}",
        )
        for name, each in columns
    ]
    return Table(("step", "ms a photo", "% of all"), rows, f"{MODEL}, one photo after the other, {threads} threads")


def in_runtimes(options: Options, photos: Sequence[Path]) -> Findings:
    """The network and its decoding alone, all photos in every round."""
    devices = runtimes()
    loaded = {
        name: OnnxRuntime.open(bundled(f"{MODEL}.onnx"), threads=options.threads, device=device)
        for name, device in devices.items()
    }
    config = loaded[ONNX].config.on_images
    canvases = [resize(read_image(photo), config.size, config.step)[0][None] for photo in photos]

    def run_all(runtime: OnnxRuntime) -> None:
        for canvas in canvases:
            runtime.run(canvas, config.min_score)

    timings = in_turns(
        {name: partial(run_all, runtime) for name, runtime in loaded.items()}, options.effort(0.2 * SECONDS)
    )
    rows = [
        (name, f"{timings.of(name).scaled(1000 / len(photos)):.1f}", f"{timings.ratio(name, ONNX):.2f}")
        for name in devices
    ]
    header = ("runtime", "ms a photo", f"it / {ONNX}")
    caption = f"The network and its decoding in each runtime, {timings.rounds} rounds"
    return Findings(tables=[Table(header, rows, caption)], notes=[] if OPENVINO in devices else [NO_OPENVINO])


def against_cascade(options: Options, photos: Sequence[Path]) -> Findings:
    """Both from the file to the people, by the number of people that the cascade finds."""
    if options.detector is None or options.crop_network is None:
        return Findings([Target(GOAL, "no cascade was given", None)], notes=[NO_CASCADE])
    finders = [
        single(MODEL, options.threads),
        cascade(str(options.detector), str(options.crop_network), options.threads),
    ]
    spent, people = measured(finders, photos, rounds=1 if options.quick else 5)
    ratio = spent[0] / spent[1]
    rows = []
    for least, most in GROUPS:
        chosen = (people[1] >= least) & (people[1] <= most)
        if chosen.any():
            times = (f"{np.median(each[chosen]):.1f}" for each in spent)
            name = f"{least}" if least == most else f"{least} or more" if most == GROUPS[-1][1] else f"{least}–{most}"
            rows.append((name, str(chosen.sum()), *times, f"{Spread.of(ratio[chosen].tolist()):.2f}"))
    several = people[1] >= 2
    spread = Spread.of(ratio[several].tolist() or [math.nan])
    target = Target(GOAL, f"{spread:.2f} of the cascade's time", spread.median < 1 if several.any() else None)
    header = ("people found by the cascade", "photos", f"{MODEL}, ms", "cascade, ms", f"{MODEL} / cascade")
    found = f"{people[0].sum()}, {people[1].sum()}"
    caption = f"Compared with the cascade, minimum over rounds for each photo; people found: {found}"
    return Findings([target], [Table(header, rows, caption)])
