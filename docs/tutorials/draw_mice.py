"""Draw a small data set of mice seen from above, in the layout of CVAT's COCO Keypoints export.

    python draw_mice.py FOLDER

Writes FOLDER/annotations, FOLDER/images and ben.json, the training labels by a second annotator.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

NAMES = ["nose", "left_ear", "right_ear", "left_front", "right_front", "left_back", "right_back", "root", "tip"]
LINKS = [[1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7], [6, 8], [7, 8], [8, 9]]
# x, y of the keypoints of a mouse seen from above, in pixels from its center.
MOUSE = np.array(
    [[0, -40], [-12, -28], [12, -28], [-18, -12], [18, -12], [-18, 16], [18, 16], [0, 26], [0, 44]], np.float64
)
OUTLINE = [0, 1, 3, 5, 7, 6, 4, 2]
PHOTOS = 12


def draw_data_set(folder: Path) -> None:
    """Write the images and labels of both splits, and ``ben.json`` next to the folder."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for seed, split in enumerate(("train", "val")):
        content = draw_mice(folder, split, seed)
        if split == "train":
            (folder.parent / "ben.json").write_text(json.dumps(relabeled(content)))
        (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(content))


def draw_mice(folder: Path, split: str, seed: int) -> dict[str, Any]:
    """Draw images with one or two mice; returns CVAT's export of their labels, which contains no areas."""
    rng = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    for number in range(1, PHOTOS + 1):
        photo = rng.integers(150, 200, (120, 160, 3), np.uint8)
        for x in rng.permutation([40, 80, 120])[: rng.integers(1, 3)]:
            points = _mouse(rng, float(x))
            cv2.fillConvexPoly(photo, points[OUTLINE].round().astype(int), (60, 60, 70))
            annotations.append(_annotation(len(annotations) + 1, number, points))
        name = f"photo {number}.jpg"
        cv2.imwrite(str(folder / "images" / split / name), photo)
        images.append({"id": number, "file_name": name, "width": 160, "height": 120, "license": 0})
    category = {"id": 1, "name": "mouse", "supercategory": "", "keypoints": NAMES, "skeleton": LINKS}
    return {"images": images, "annotations": annotations, "categories": [category]}


def relabeled(content: dict[str, Any]) -> dict[str, Any]:
    """The same labels by a second annotator, two pixels away on average."""
    rng, other = np.random.default_rng(5), copy.deepcopy(content)
    for annotation in other["annotations"]:
        keypoints = np.reshape(annotation["keypoints"], (9, 3))
        keypoints[:, :2] += rng.normal(0, 2, (9, 2))
        annotation["keypoints"] = keypoints.ravel().tolist()
    return other


def _mouse(rng: np.random.Generator, x: float) -> npt.NDArray[np.float64]:
    """Keypoints (9, 2) of a mouse at column ``x``, with random rotation and size."""
    angle = rng.uniform(-0.4, 0.4)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points: npt.NDArray[np.float64] = (MOUSE * rng.uniform(0.7, 1) @ matrix + [x, 60]).round(2)
    return points


def _annotation(number: int, image: int, points: npt.NDArray[np.float64]) -> dict[str, Any]:
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "segmentation": [],
        "area": 0.0,
        "bbox": [*low.tolist(), *extent.tolist()],
        "attributes": {"occluded": False},
        "num_keypoints": 9,
        "keypoints": np.column_stack([points, np.full(9, 2)]).ravel().tolist(),
    }


if __name__ == "__main__":
    draw_data_set(Path(sys.argv[1] if len(sys.argv) > 1 else "mice"))
