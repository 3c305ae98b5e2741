"""AP and CPU time of mipnet-lite with and without the flip test, and the difference with its interval.

python -m research.mipnet_lite.flip ANNOTATIONS.json IMAGES
"""

import sys
import time
from pathlib import Path

import numpy as np

import everypose
from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_image
from research.mipnet_lite.precision import average_precision, draw_samples, interval, match, sampled


def main(annotations: str, images: str) -> None:
    truth = read_json(Path(annotations))
    models = [everypose.load(min_score=0.0, threads=1, flip=flip) for flip in (False, True)]
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in models]
    seconds = np.zeros(len(models))
    for entry in track(truth["images"], "estimating", len(truth["images"])):
        image = read_image(Path(images) / entry["file_name"])
        for index, model in enumerate(models):
            begin = time.process_time()
            people = model(image)
            seconds[index] += time.process_time() - begin
            found[index][entry["id"]] = (people.keypoints.astype(np.float64), people.scores.astype(np.float64))
    samples = draw_samples(len(truth["images"]), 500)
    for overlapped in (False, True):
        plain, flipped = (match(one, truth, overlapped=overlapped) for one in found)
        low, high = interval(sampled(flipped, samples) - sampled(plain, samples))
        before, after = average_precision(plain), average_precision(flipped)
        print(
            f"{'overlapped people' if overlapped else 'all people'}: AP {before:.3f}, with flip test {after:.3f}, "
            f"difference {after - before:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    print(f"CPU time {seconds[1] / seconds[0]:.2f} times as long")


if __name__ == "__main__":
    main(*sys.argv[1:3])
