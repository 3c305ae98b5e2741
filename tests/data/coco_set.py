"""A small COCO-format set, for tests of conversions."""

import json
from pathlib import Path

import cv2
import numpy as np

from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def image(path: Path, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8))
    return path


def coco(folder: Path, name: str, seed: int = 0, count: int = 4) -> Path:
    """A COCO file with images of different sizes and people with fractional labels."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        size = 60 + 7 * number, 50 + 3 * number
        image(folder / f"{name}_images" / f"{number:06d}.png", *size)
        images.append({"id": number, "file_name": f"{number:06d}.png", "width": size[0], "height": size[1]})
        for _ in range(number - 1):
            keypoints = np.round(rng.uniform(0, 48, (17, 3)), 3)
            keypoints[:, 2] = rng.integers(0, 3, 17)
            keypoints[keypoints[:, 2] == 0] = 0
            box = np.round([*rng.uniform(0, 20, 2), *rng.uniform(5, 28, 2)], 2).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": keypoints.reshape(-1).tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                    "bbox": box,
                    "area": 0.53 * box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2]]}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def assert_same_people(a: dict, b: dict) -> None:
    assert len(a["annotations"]) == len(b["annotations"])
    for one, other in zip(a["annotations"], b["annotations"], strict=True):
        for key in ("image_id", "category_id", "num_keypoints", "iscrowd"):
            assert one[key] == other[key]
        for key in ("keypoints", "bbox", "area"):
            np.testing.assert_allclose(one[key], other[key], atol=1e-5)
