"""A top-down model that knows the truth: every pixel of its images says where it is, so it knows where each crop is.

Red is a pixel's column, green its row, blue the image's id times ten; outside the image all are 0.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from everypose.data.discovery.layouts import Layout
from everypose.inference.detectors import find_detector
from everypose.inference.single_stage import TOGETHER
from everypose.inference.top_down import TopDownEstimator
from everypose.models.default_names import DEFAULT_DETECTOR
from everypose.skeleton.skeleton import Skeleton
from inference.crop_stand_in import config, write_model

COCO = Skeleton.named("coco")
WIDTH, HEIGHT = 220, 180
# x, y, width, height of the people of each image: alone; a pair of IoU 0.6; two who touch, one of them at the border.
BOXES = (
    [(60, 30, 50, 90)],
    [(40, 40, 48, 80), (52, 40, 48, 80)],
    [(0, 60, 40, 100), (30, 50, 60, 110), (150, 20, 30, 70)],
)


def photo(image_id):
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return np.stack([columns, rows, np.full_like(rows, 10 * image_id)], axis=-1).astype(np.uint8)


def content(boxes=BOXES, skeleton=COCO):
    """A COCO-format truth: people with keypoints all over their boxes, one of them hidden, one of them unlabeled."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id, people in enumerate(boxes, start=1):
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": WIDTH, "height": HEIGHT})
        for x, y, width, height in people:
            points = np.column_stack(
                [rng.uniform(x, x + width - 1, len(skeleton)), rng.uniform(y, y + height - 1, len(skeleton))]
            ).round(2)
            labels = np.full((len(skeleton), 1), 2.0)
            labels[3], labels[5], points[5] = 1, 0, 0
            annotations.append(
                {
                    "id": len(annotations) + 101,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x, y, width, height],
                    "area": width * height * 0.6,
                    "iscrowd": 0,
                    "keypoints": np.hstack([points, labels]).ravel().tolist(),
                    "num_keypoints": len(skeleton) - 1,
                }
            )
    categories = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_set(folder: Path, truth) -> Layout:
    """Write labels and images."""
    folder.mkdir(exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(truth))
    for image in truth["images"]:
        assert cv2.imwrite(str(folder / image["file_name"]), photo(image["id"])[..., ::-1])
    return Layout((folder / "truth.json",), folder, None, None, "written by a test")


def detections(truth, scores, keep=None):
    """A results list with the truth's boxes, those of the rows in ``keep``; one score for each."""
    rows = range(len(truth["annotations"])) if keep is None else keep
    return [
        {key: truth["annotations"][row][key] for key in ("image_id", "category_id", "bbox")} | {"score": score}
        for row, score in zip(rows, scores, strict=True)
    ]


class Oracle:
    """Finds the person in the middle of a crop, then those farther away; with nobody left the first one again."""

    def __init__(self, truth, instances=1):
        self.truth, self.instances = truth, instances
        self.crops = 0

    def run(self, crops, _with_others=None):
        self.crops += len(crops)
        return np.stack([self._people(crop.astype(np.float64)) for crop in crops]).astype(np.float32)

    def _people(self, crop):
        image_id = round(crop[..., 2].max() / 10)
        rows, columns = np.nonzero(crop[..., 2] == 10 * image_id)
        places = np.column_stack([columns, rows, np.ones(len(rows))])
        # The crop says where its pixels are in the image; so (2, 3) from crop to image pixels by least squares.
        matrix = np.linalg.lstsq(places, crop[rows, columns, :2], rcond=None)[0].T
        middle = matrix @ (crop.shape[1] / 2, crop.shape[0] / 2, 1)
        people = [each for each in self.truth["annotations"] if each["image_id"] == image_id]
        boxes = np.array([each["bbox"] for each in people], np.float64)
        order = np.argsort(np.linalg.norm(boxes[:, :2] + boxes[:, 2:] / 2 - middle, axis=1), kind="stable").tolist()
        found = []
        for row in (order + [order[0]] * self.instances)[: self.instances]:
            points = np.reshape(people[row]["keypoints"], (-1, 3))[:, :2]
            back = np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T
            found.append(np.column_stack([back, np.full(len(points), 0.9)]))
        return np.array(found)


def open_oracle(monkeypatch, folder: Path, truth, instances=1, skeleton=COCO, **inference) -> tuple[Path, Oracle]:
    """Let ``everypose evaluate`` and ``study`` get the oracle for whatever model they are given; returns a model."""
    runtime = Oracle(truth, instances)
    known = config(**inference).model_copy(update={"skeleton": skeleton})

    def load(_, min_score, batch_size, detector=None, box_threshold=None, **__):
        boxes = find_detector(detector or DEFAULT_DETECTOR, box_threshold)
        return TopDownEstimator(runtime, known, boxes, min_score, batch_size or TOGETHER)

    monkeypatch.setattr("everypose.evaluation.evaluate.load", load)
    return write_model(folder / "model.onnx"), runtime
