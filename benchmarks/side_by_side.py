"""Compare a model with a cascade of a detector and a top-down network, photo by photo: milliseconds and people.

Both start from the file: decoding, network and everything after it count. They alternate photo by photo,
so that other load on the machine affects both, with a pause before each until the other's threads are idle.

python -m benchmarks.side_by_side MODEL DETECTOR.onnx CROPS.onnx PHOTO [PHOTO ...] [--threads 2] [--rounds 3]

CROPS.onnx takes (1, 3, 256, 192) RGB crops, normalized by ImageNet's mean and standard deviation, and gives
(1, K, 64, 48) heatmaps.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.performance.timing import PAUSE
from everypose.core.geometry import Size
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import open_session
from everypose.methods.top_down.crops import crop_matrix, crop_regions, warp

CROP = Size(192, 256)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

Finder = Callable[[Path], int]


def cascade(detector_file: str, crops_file: str, threads: int) -> Finder:
    """A detector with its usual threshold, then a network run on one crop after the other; counts the people."""
    detector = find_detector(detector_file, 0.3, threads=threads)
    session = open_session(crops_file, threads, "cpu")
    name, outputs = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]

    def find(photo: Path) -> int:
        image = read_image(photo)
        boxes = detector(Photo(image, photo))
        for center, size in zip(*crop_regions(boxes.boxes, CROP[0] / CROP[1]), strict=True):
            crop = warp(image, crop_matrix(center, size, CROP), CROP)
            values = ((crop / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]
            session.run(outputs, {name: values})[0].reshape(17, -1).argmax(axis=1)
        return len(boxes)

    return find


def single(model: str, threads: int) -> Finder:
    """A model of everypose at its usual threshold; counts the people."""
    estimator = load(model, threads=threads)
    return lambda photo: len(estimator(photo))


def measured(
    finders: Sequence[Finder], photos: Sequence[Path], rounds: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Milliseconds (finders, photos), the least of the rounds, and people found (finders, photos)."""
    spent = np.full((len(finders), len(photos)), np.inf)
    people = np.zeros((len(finders), len(photos)), np.int64)
    for _ in range(rounds):
        for column, photo in enumerate(photos):
            for row, find in enumerate(finders):
                time.sleep(PAUSE)
                start = time.perf_counter()
                people[row, column] = find(photo)
                spent[row, column] = min(spent[row, column], 1000 * (time.perf_counter() - start))
    return spent, people


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("detector")
    parser.add_argument("crops")
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    finders = [
        single(arguments.model, arguments.threads),
        cascade(arguments.detector, arguments.crops, arguments.threads),
    ]
    spent, people = measured(finders, arguments.photos, arguments.rounds)
    print(
        f"{len(arguments.photos)} photos, {arguments.threads} threads, least of {arguments.rounds} rounds, milliseconds"
    )
    for name, times, found in zip(("model", "cascade"), spent, people, strict=True):
        low, middle, high = np.percentile(times, (10, 50, 90))
        print(f"{name:8} median {middle:6.1f}   10 % {low:6.1f}   90 % {high:6.1f}   people {found.sum()}")
    print(f"ratio of the medians, model / cascade: {np.median(spent[0]) / np.median(spent[1]):.2f}")
    print("by people that the cascade found: people, photos, model, cascade")
    for least, most in ((0, 0), (1, 1), (2, 3), (4, 7), (8, 100)):
        chosen = (people[1] >= least) & (people[1] <= most)
        if chosen.any():
            model, peer = np.median(spent[:, chosen], axis=1)
            print(f"{least}-{most:<4} {chosen.sum():4} {model:8.1f} {peer:8.1f}")


if __name__ == "__main__":
    with exit_on_user_error("side_by_side"):
        main()
