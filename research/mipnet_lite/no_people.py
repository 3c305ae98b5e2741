"""False detections of the default model in pictures without people, and in parts of photos without annotated boxes.

    python -m research.mipnet_lite.no_people [PICTURE ...] [--photos ANNOTATIONS.json IMAGES]

Pictures are reduced to 960 pixels. Of a photo with complete labels, the largest part of 160 pixels or more on each side
that no box touches is taken.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

import everypose
from everypose.core.arrays import Image
from everypose.core.files import read_json
from everypose.data.images import read_image

SCORES = (0.2, 0.3, 0.6)
LARGEST, SMALLEST, MARGIN = 960, 160, 4


def pictures(paths: list[Path]) -> Iterator[tuple[str, Image]]:
    """The pictures, reduced."""
    for path in paths:
        image = read_image(path)
        scale = min(1.0, LARGEST / max(image.shape[:2]))
        yield path.name, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def free_parts(annotations: Path, images: Path) -> Iterator[tuple[str, Image]]:
    """The largest part of each photo that no box touches."""
    truth = read_json(annotations)
    for entry in truth["images"]:
        if not entry.get("persons_without_keypoints_known"):
            continue
        boxes = np.array([one["bbox"] for one in truth["annotations"] if one["image_id"] == entry["id"]])
        image = read_image(images / entry["file_name"])
        part = largest_free(boxes.reshape(-1, 4), image.shape[1], image.shape[0])
        if part is not None:
            left, top, right, bottom = part
            yield entry["file_name"], np.ascontiguousarray(image[top:bottom, left:right])


def largest_free(boxes: np.ndarray, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The largest part x1 y1 x2 y2, whose sides are the image's or lie next to boxes (N, 4) x y w h."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = [
        sorted({0, length, *(int(v) - MARGIN for v in low[:, axis]), *(int(v) + MARGIN for v in high[:, axis])})
        for axis, length in enumerate((width, height))
    ]
    columns, rows = ([(a, b) for a, b in combinations(side, 2) if a >= 0 and b <= length and b - a >= SMALLEST]
                     for side, length in zip(sides, (width, height), strict=True))  # fmt: skip
    free = [
        (left, top, right, bottom)
        for left, right in columns
        for top, bottom in rows
        if not ((low < (right, bottom)).all(axis=1) & (high > (left, top)).all(axis=1)).any()
    ]
    return max(free, key=lambda part: (part[2] - part[0]) * (part[3] - part[1]), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--photos", type=Path, nargs=2)
    given = parser.parse_args()
    model = everypose.load(min_score=min(SCORES), threads=1)
    for kind, source in (
        ("pictures", pictures(given.pictures)), ("parts of photos", free_parts(*given.photos) if given.photos else ())
    ):  # fmt: skip
        counts, images = np.zeros(len(SCORES), int), 0
        for name, image in source:
            scores = model(image).scores
            images += 1
            counts += [(scores >= score).sum() for score in SCORES]
            if (scores >= SCORES[-1]).any():
                print(f"{name}: {scores.round(2).tolist()}")
        print(f"{kind}: {images}; false detections from {SCORES} on: {counts.tolist()}", flush=True)


if __name__ == "__main__":
    main()
