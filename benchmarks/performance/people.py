"""Time per additional person of the bundled models, and when the single-stage one is faster."""

from functools import partial

import cv2
import numpy as np

from benchmarks.performance.photos import example
from benchmarks.performance.picture import line_chart
from benchmarks.performance.record import Findings, Options, Table
from benchmarks.performance.timing import Timings, in_turns
from everypose.core.arrays import Image
from everypose.data.images import read_image
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load

COUNTS = (1, 2, 3, 5, 10, 20, 35, 50)
QUICK_COUNTS = (1, 2)
TOP_DOWN, SINGLE_STAGE = "mipnet-lite", "boir-lite"
SECONDS = 100
CANVAS = (960, 720)
COLUMNS, ROWS = 10, 5
"""Places for people: each is 96 x 144 pixels."""
EXAMPLE = "pedestrians.jpg"


def measure(options: Options) -> Findings:
    """Seconds for one image with 1 to 50 copies of a person."""
    counts = QUICK_COUNTS if options.quick else COUNTS
    models = {name: load(name, threads=options.threads) for name in (TOP_DOWN, SINGLE_STAGE)}
    person = cut_person(models[SINGLE_STAGE])
    images = {count: crowd_of(person, count) for count in counts}
    found = {(name, count): len(pose(images[count])) for name, pose in models.items() for count in counts}
    runs = {key(name, count): partial(pose, images[count]) for name, pose in models.items() for count in counts}
    timings = in_turns(runs, options.effort(SECONDS))
    rows = [
        (
            str(count),
            *(f"{timings.of(key(name, count)).scaled(1000):.0f}" for name in models),
            *(str(found[name, count]) for name in models),
            f"{timings.ratio(key(TOP_DOWN, count), key(SINGLE_STAGE, count)):.2f}",
        )
        for count in counts
    ]
    header = ("people", *(f"{name}, ms" for name in models), *(f"found by {name}" for name in models), "ratio of times")
    chart = line_chart(
        {name: [(n, 1000 * timings.of(key(name, n)).median) for n in counts] for name in models},
        "people in the image",
        "ms an image",
    )
    canvas = f"Copies of one person on {CANVAS[0]} x {CANVAS[1]} pixels."
    return Findings(
        [],
        [Table(header, rows, f"{timings.rounds} rounds")],
        [f"{canvas} {crossover(timings, counts)}"],
        {"people_top_down.svg": chart},
    )


def key(name: str, count: int) -> str:
    """A candidate's name."""
    return f"{name}, {count}"


def crossover(timings: Timings, counts: tuple[int, ...]) -> str:
    """Say from how many people on the single-stage model takes less time."""
    slower = [n for n in counts if timings.ratio(key(TOP_DOWN, n), key(SINGLE_STAGE, n)).median > 1]
    if not slower:
        return f"{TOP_DOWN} takes less time throughout."
    return f"From {slower[0]} people on, {SINGLE_STAGE} takes less time than {TOP_DOWN}."


def cut_person(pose: Estimator) -> Image:
    """The best person of a picture of the package, with a margin, fitted to one place."""
    picture = read_image(example(EXAMPLE))
    left, top, right, bottom = pose(picture).boxes[0]
    margin = 0.1 * (bottom - top)
    rows = slice(max(0, int(top - margin)), int(bottom + margin))
    columns = slice(max(0, int(left - margin)), int(right + margin))
    size = CANVAS[0] // COLUMNS, CANVAS[1] // ROWS
    return np.asarray(cv2.resize(picture[rows, columns], size, interpolation=cv2.INTER_AREA), np.uint8)


def crowd_of(person: Image, count: int) -> Image:
    """Return a gray image with ``count`` copies of a person."""
    height, width = person.shape[:2]
    image = np.full((CANVAS[1], CANVAS[0], 3), 128, np.uint8)
    for place in np.random.default_rng(0).permutation(COLUMNS * ROWS)[:count]:
        row, column = divmod(int(place), COLUMNS)
        image[row * height : (row + 1) * height, column * width : (column + 1) * width] = person
    return image
