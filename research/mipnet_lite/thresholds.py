"""People, AP and CPU time of mipnet-lite for several lowest scores, with boxes by default and from 0.25 on.

python -m research.mipnet_lite.thresholds ANNOTATIONS.json IMAGES
"""

import sys
import time
from pathlib import Path

import numpy as np

import everypose
from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_image
from research.mipnet_lite.precision import average_precision, match

CASES = tuple((score, boxes) for score in (0.0, 0.6, 0.9) for boxes in (None, 0.25))


def main(annotations: str, images: str) -> None:
    truth = read_json(Path(annotations))
    models = [everypose.load(min_score=score, threads=1, box_threshold=boxes) for score, boxes in CASES]
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in CASES]
    seconds = np.zeros(len(CASES))
    for entry in track(truth["images"], "estimating", len(truth["images"])):
        image = read_image(Path(images) / entry["file_name"])
        for index, model in enumerate(models):
            begin = time.process_time()
            people = model(image)
            seconds[index] += time.process_time() - begin
            found[index][entry["id"]] = (people.keypoints.astype(np.float64), people.scores.astype(np.float64))
    for (score, boxes), images_found, total in zip(CASES, found, seconds, strict=True):
        count = sum(len(scores) for _, scores in images_found.values())
        precision = average_precision(match(images_found, truth))
        print(
            f"min_score {score}, boxes from {boxes or 'the default'} on: {count} people, AP {precision:.3f}, "
            f"{1000 * total / len(images_found):.0f} ms of CPU time a photo"
        )


if __name__ == "__main__":
    main(*sys.argv[1:3])
