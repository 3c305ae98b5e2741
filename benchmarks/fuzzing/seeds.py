"""Whole inputs: small photos, annotations, results, and the folders of data sets."""

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.fuzzing.watching import put
from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
SIDE = 48
LARGE_SIDE = 144


@functools.cache
def photo() -> np.ndarray:
    """A small photo, BGR."""
    whole = cv2.imread(str(resources.files("everypose") / "examples" / "astronaut.jpg"))
    return np.asarray(cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


@functools.cache
def encoded(suffix: str, side: int = SIDE) -> bytes:
    """The photo as an image file."""
    pixels = photo() if side == SIDE else cv2.resize(photo(), (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def annotations(people: int = 3, images: int = 2) -> dict[str, Any]:
    """A COCO file of small images."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(1, people + 1):
        points = np.column_stack([rng.uniform(4, 44, (17, 2)).round(1), np.full(17, 2)])
        entries.append(
            {
                "id": number, "image_id": 1 + number % images, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                "bbox": [2.0, 2.0, 44.0, 44.0], "area": 900.0, "keypoints": points.reshape(-1).tolist(),
                "segmentation": [[2, 2, 40, 2, 40, 40]],
            }
        )  # fmt: skip
    return _coco(entries, images, SIDE)


def large_people() -> dict[str, Any]:
    """A COCO file of two images of `LARGE_SIDE`, each with a person and their segmentation."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outline = np.column_stack([72 + 45 * np.cos(angles), 72 + 60 * np.sin(angles)]).round(1)
    inner = np.column_stack([72 + 35 * np.cos(angles[:17]), 72 + 45 * np.sin(angles[:17]), np.full(17, 2)]).round(1)
    person = {
        "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "bbox": [27.0, 12.0, 90.0, 120.0], "area": 8000.0,
        "keypoints": inner.ravel().tolist(), "segmentation": [outline.ravel().tolist()],
    }  # fmt: skip
    return _coco([person | {"id": number, "image_id": number} for number in (1, 2)], 2, LARGE_SIDE)


def _coco(entries: list[dict[str, Any]], images: int, side: int) -> dict[str, Any]:
    """A COCO file of people in ``images`` images ``1.jpg``, ``2.jpg`` and so on."""
    listed = [{"id": n, "file_name": f"{n}.jpg", "width": side, "height": side} for n in range(1, images + 1)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2], [2, 3]]}
    return {"images": listed, "annotations": entries, "categories": [category], "info": {}}


def results() -> list[dict[str, Any]]:
    """A COCO results list for :func:`annotations`."""
    keys = ("image_id", "category_id", "keypoints", "bbox")
    return [{key: entry[key] for key in keys} | {"score": 0.9} for entry in annotations()["annotations"]]


def mpii() -> list[dict[str, Any]]:
    """An MPII list."""
    joints = [[10.0 + k, 20.0 + k] for k in range(16)]
    return [{"image": "1.jpg", "center": [24, 24], "scale": 0.2, "joints": joints, "joints_vis": [1] * 16}]


YAML = (
    """path: .
train: images/train
val: images/train
kpt_shape: [17, 3]
flip_idx: [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
names:
  0: person
kpt_names:
  0: ["""
    + ", ".join(COCO.keypoints)
    + "]\n"
)
LABELS = " ".join(["0 0.5 0.5 0.6 0.6", *["0.4 0.4 2"] * 17]) + "\n"
ANNOTATIONS = json.dumps(annotations()).encode()
RESULTS = json.dumps(results()).encode()


def frames(number: int = 4, *, tracked: bool = True) -> list[FrameResult]:
    """Results of a video with two people, who walk to the right."""
    rng = np.random.default_rng(1)
    poses = np.concatenate([rng.uniform(4, 40, (2, 17, 2)), np.full((2, 17, 1), 0.8)], axis=2)
    found = []
    for frame in range(number):
        people = People(poses + np.array([frame, 0, 0]), [0.9, 0.6], COCO, ids=[1, 2] if tracked else None)
        found.append(FrameResult("clip.mp4", people, SIDE, SIDE, frame=frame, time=frame / 10, image_id=frame + 1))
    return found


def data_folder(folder: Path, content: bytes | None = None) -> Path:
    """A data set with ``train.json`` and the images of :func:`annotations`; returns the annotation file."""
    for number in (1, 2):
        put(folder / "images" / f"{number}.jpg", encoded(".jpg"))
    return put(folder / "train.json", ANNOTATIONS if content is None else content)


def yolo_folder(folder: Path, yaml: bytes | None = None, labels: bytes | None = None) -> Path:
    """A YOLO-pose data set of one image; returns its YAML file."""
    put(folder / "images/train/1.jpg", encoded(".jpg"))
    put(folder / "labels/train/1.txt", LABELS.encode() if labels is None else labels)
    return put(folder / "data.yaml", YAML.encode() if yaml is None else yaml)
