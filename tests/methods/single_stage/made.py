"""Scenes of people with COCO's keypoints, and pictures of noise for them."""

from pathlib import Path

import numpy as np

from everypose.data.scenes import Scene
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def make_scene(keypoints, boxes, width, height, is_crowd=None, segmentations=None) -> Scene:
    count = len(boxes)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return Scene(
        image_id=1,
        path=Path("photo.jpg"),
        file_name="photo.jpg",
        width=width,
        height=height,
        annotation_ids=np.arange(count),
        keypoints=np.asarray(keypoints, dtype=np.float64).reshape(-1, len(COCO), 3),
        boxes=boxes,
        areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        is_crowd=np.zeros(count, dtype=bool) if is_crowd is None else np.asarray(is_crowd),
        segmentations=[None] * count if segmentations is None else segmentations,
    )


def random_scene(rng: np.random.Generator, people: int, width: int = 160, height: int = 120) -> Scene:
    """People of every size, some past the border, some without keypoints, some crowd regions."""
    corners = rng.uniform(-20, [width, height], (people, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 110, (people, 2))], axis=1)
    points = corners[:, None] + rng.random((people, 17, 2)) * (boxes[:, 2:] - corners)[:, None]
    visibility = rng.integers(0, 3, (people, 17, 1)) * (rng.random((people, 1, 1)) < 0.8)
    keypoints = np.concatenate([points, visibility], axis=2)
    return make_scene(keypoints, boxes, width, height, is_crowd=rng.random(people) < 0.1)


def random_image(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    return rng.integers(0, 256, (scene.height, scene.width, 3), dtype=np.uint8)
