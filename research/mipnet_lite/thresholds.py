"""People, AP and CPU time of mipnet-lite for several lowest scores, with boxes by default and from 0.25 on.

python -m research.mipnet_lite.thresholds ANNOTATIONS.json IMAGES
"""

import sys

import everypose
from research.mipnet_lite.precision import average_precision, estimated, match

CASES = tuple((score, boxes) for score in (0.0, 0.6, 0.9) for boxes in (None, 0.25))


def main(annotations: str, images: str) -> None:
    models = [everypose.load(min_score=score, threads=1, box_threshold=boxes) for score, boxes in CASES]
    truth, found, seconds = estimated(models, annotations, images)
    for (score, boxes), images_found, total in zip(CASES, found, seconds, strict=True):
        count = sum(len(scores) for _, scores in images_found.values())
        precision = average_precision(match(images_found, truth))
        print(
            f"min_score {score}, boxes from {boxes or 'the default'} on: {count} people, AP {precision:.3f}, "
            f"{1000 * total / len(images_found):.0f} ms of CPU time a photo"
        )


if __name__ == "__main__":
    main(*sys.argv[1:3])
