"""Time of detector and crops by how threads are used: in one run, with and without spinning, or in runs of one thread.

    python -m research.mipnet_lite.crop_threads [--threads 2] [--rounds 25]

The ways take turns. The detector and five crops follow each other as for a photo, since threads that still spin after
the detector's run take the CPUs of the crops.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from everypose.inference.runtimes.onnx import OnnxCropRuntime, open_session
from everypose.inference.runtimes.parallel_crops import ParallelCropRuntime
from everypose.models.locate import bundled

CROPS = (1, 2, 5, 8)
OF_A_PHOTO = 5
PAUSE = 0.003
"""Seconds between two ways, in which threads end their spinning."""
Way = Callable[[], object]


def main() -> None:
    """Print the quartiles of each way's time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    ways = make_ways(given.threads)
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(given.rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            milliseconds[name].append(1000 * (time.perf_counter() - begin))
            time.sleep(PAUSE)
    for name, values in milliseconds.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        print(f"{name}: {middle:.1f} ms ({low:.1f} to {high:.1f})")


def make_ways(threads: int) -> dict[str, Way]:
    """What is timed, by name."""
    poses, boxes = bundled("mipnet-lite.onnx"), bundled("picodet-s.onnx")
    random = np.random.default_rng(0)
    crops = random.integers(0, 256, (max(CROPS), 256, 192, 3), np.uint8)
    image = random.standard_normal((1, 3, 416, 416)).astype(np.float32)
    one = open_session(poses, 1)
    ways: dict[str, Way] = {}
    for spinning in (True, False):
        label = "spinning" if spinning else "not spinning"
        detector = open_session(boxes, threads, spinning=spinning)
        session = open_session(poses, threads, spinning=spinning)
        together = OnnxCropRuntime(session, poses).run
        parallel = ParallelCropRuntime(session, one, poses, threads=threads).run

        detect = partial(detector.run, ["boxes"], {"image": image})
        ways[f"detector, {label}"] = detect
        for count in CROPS:
            ways[f"{count} crops in one run, {label}"] = partial(together, crops[:count])
        photo = crops[:OF_A_PHOTO]
        ways[f"detector, then {OF_A_PHOTO} crops in one run, {label}"] = _both(detect, together, photo)
        ways[f"detector, {label}, then {OF_A_PHOTO} crops in parallel"] = _both(detect, parallel, photo)
    for count in CROPS[1:]:
        ways[f"{count} crops in parallel"] = partial(parallel, crops[:count])
    return ways


def _both(first: Way, run: Callable[[np.ndarray], object], crops: np.ndarray) -> Way:
    """One way after the other."""

    def way() -> object:
        return first(), run(crops)

    return way


if __name__ == "__main__":
    main()
