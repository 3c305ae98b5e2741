"""Painted people: photos that a test can make, with labels that are right by construction."""

from pathlib import Path

import cv2
import numpy as np

from everypose.data.scenes import Scene
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
# A standing person, arms a little apart, in units of its height; x from the middle, y from the top of the head.
STANDING = np.array(
    [
        (0.00, 0.09), (0.02, 0.07), (-0.02, 0.07), (0.04, 0.08), (-0.04, 0.08),
        (0.11, 0.20), (-0.11, 0.20), (0.17, 0.34), (-0.17, 0.34), (0.19, 0.46), (-0.19, 0.46),
        (0.08, 0.50), (-0.08, 0.50), (0.09, 0.72), (-0.09, 0.72), (0.10, 0.93), (-0.10, 0.93),
    ]
)  # fmt: skip


def standing(x: float, top: float, height: float) -> np.ndarray:
    """Keypoints (17, 3), all visible."""
    points = STANDING * height + np.array([x, top])
    return np.concatenate([points, np.full((17, 1), 2.0)], axis=1)


def paint(image: np.ndarray, keypoints: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Paint the person over the image; returns its mask (H, W) bool."""
    canvas = np.zeros(image.shape[:2], np.uint8)
    points = np.rint(keypoints[:, :2]).astype(int)
    height = points[15, 1] - points[0, 1]
    for start, end in COCO.links:
        cv2.line(canvas, points[start].tolist(), points[end].tolist(), 1, max(1, round(0.1 * height)))
    cv2.fillConvexPoly(canvas, cv2.convexHull(points[[5, 6, 11, 12]].astype(np.int32)), 1)
    cv2.circle(canvas, points[0].tolist(), round(0.1 * height), 1, -1)
    shade = np.linspace(0.8, 1.1, image.shape[0])[:, None, None] * np.array(color)
    image[canvas > 0] = np.broadcast_to(shade, image.shape)[canvas > 0].clip(0, 255).astype(np.uint8)
    return canvas > 0


def ground(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """A greenish, slightly noisy image."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return (np.array([70, 120, 80]) + noise).clip(0, 255).astype(np.uint8)


def painted_scene(seed: int, people: list[tuple[float, float, float]], name: str = "") -> tuple[np.ndarray, Scene]:
    """A photo with painted people at (x, top, height), and its labels without segmentations."""
    image = ground(seed)
    keypoints = np.zeros((len(people), 17, 3))
    boxes = np.zeros((len(people), 4))
    areas = np.zeros(len(people))
    colors = [(200, 40, 40), (40, 60, 220), (230, 220, 60), (240, 240, 240)]
    for index, (x, top, height) in enumerate(people):
        keypoints[index] = standing(x, top, height)
        mask = paint(image, keypoints[index], colors[(seed + index) % len(colors)])
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        areas[index] = mask.sum()
    name = name or f"{seed}.png"
    return image, Scene(
        image_id=seed,
        path=Path(name),
        file_name=name,
        width=image.shape[1],
        height=image.shape[0],
        annotation_ids=np.arange(1, len(people) + 1) + 100 * seed,
        keypoints=keypoints,
        boxes=boxes,
        areas=areas,
        is_crowd=np.zeros(len(people), bool),
        segmentations=[None] * len(people),
    )


def write_set(folder: Path, scenes: list[tuple[np.ndarray, Scene]]) -> Path:
    """Write photos to ``folder``/images and COCO labels to ``folder``/labels.json; returns the latter."""
    import json

    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for image, scene in scenes:
        cv2.imwrite(str(folder / "images" / scene.file_name), image[..., ::-1])
        images.append(
            {"id": scene.image_id, "file_name": scene.file_name, "width": scene.width, "height": scene.height}
        )
        for index in range(len(scene)):
            x1, y1, x2, y2 = scene.boxes[index].tolist()
            annotations.append(
                {
                    "id": int(scene.annotation_ids[index]),
                    "image_id": scene.image_id,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(scene.areas[index]),
                    "iscrowd": int(scene.is_crowd[index]),
                    "keypoints": scene.keypoints[index].reshape(-1).tolist(),
                    "num_keypoints": int((scene.keypoints[index, :, 2] > 0).sum()),
                }
            )
    links = [[start + 1, end + 1] for start, end in COCO.links]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": links}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"
