"""The default model compared with the unmodified cascade: AP, overlapped people, crops and time of each photo.

    python -m benchmarks.lite_cascade ANNOTATIONS.json IMAGES TINYPOSE.onnx PICODET.onnx [--threads 2] [--boxes 0.25]

The models take turns on each photo, decoded beforehand, so that a noisy machine slows all of them; a pause before each
lets the threads of the model before it come to rest, since those of ONNX Runtime go on spinning after a run. Times are
compared with those of the unmodified cascade, one crop at a time and with boxes from 0.3 on. PP-TinyPose is imported
and exported by everypose, so decoder and suppression are shared; the form with all crops of a photo together is shown,
too.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from everypose.core.files import read_json
from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.data.images import read_image
from everypose.export.onnx import export_onnx
from everypose.inference.detectors import find_detector
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load
from everypose.inference.top_down import TopDownEstimator, as_top_down
from everypose.models.import_checkpoint import import_checkpoint

OVERLAP = 0.3
"""IoU with another person's box from which a person counts as overlapped."""
REFERENCE, CASCADE_BOXES = "unmodified, one crop at a time", 0.3
PAUSE = 0.15
"""Seconds before each run."""
FEWEST, MOST = 4, 6
"""Boxes of the photos whose times are shown apart."""


def unmodified(published: Path, folder: Path) -> Path:
    """PP-TinyPose as a model of everypose, with the default model's suppression."""
    network, config = import_checkpoint(published)
    inference = config.on_crops.model_copy(update={"nms": 0.8, "confident": 0.1})
    path = folder / "unmodified.onnx"
    export_onnx(network, config.model_copy(update={"inference": inference}), path)
    return path


def one_crop_at_a_time(estimator: Estimator) -> TopDownEstimator:
    """The estimator with batches of one crop."""
    top_down = as_top_down(estimator)
    assert top_down is not None
    top_down.crops_at_once = 1
    return top_down


def average_precision(results: list[dict[str, Any]], truth: Mapping[str, Any]) -> tuple[float, float]:
    """AP of all people, and of those whose box overlaps another person's; the others are then ignored."""
    return _ap(results, truth), _ap(results, {**truth, "annotations": only_overlapped(truth["annotations"])})


def only_overlapped(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = []
    for one in annotations:
        others = [o["bbox"] for o in annotations if o["image_id"] == one["image_id"] and o is not one]
        boxes = xywh_to_xyxy(np.array([one["bbox"], *others], np.float64))
        overlapped = box_iou(boxes[:1], boxes[1:]).max(initial=0) > OVERLAP
        kept.append(one if overlapped else {**one, "num_keypoints": 0, "keypoints": [0] * len(one["keypoints"])})
    return kept


def _ap(results: list[dict[str, Any]], truth: Mapping[str, Any]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = {**truth, "annotations": [dict(one) for one in truth["annotations"]]}
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes([dict(one) for one in results]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("annotations", "images", "tinypose", "picodet"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--boxes", type=float, default=0.25, help="lowest score of a box")
    given = parser.parse_args()
    truth = read_json(given.annotations)
    category = truth["categories"][0]["id"]
    with tempfile.TemporaryDirectory() as folder:
        shared: dict[str, Any] = {"threads": given.threads, "min_score": 0.0}
        cascade = unmodified(given.tinypose, Path(folder))
        # Given as an object, the detector's threads spin, as they do by default in ONNX Runtime.
        boxes = find_detector(given.picodet, CASCADE_BOXES, threads=given.threads)
        reference_model = one_crop_at_a_time(load(cascade, detector=boxes, **shared))
        models: dict[str, Estimator] = {
            REFERENCE: reference_model,
            "mipnet-lite, default scores": load("mipnet-lite", threads=given.threads),
            "mipnet-lite": load("mipnet-lite", box_threshold=given.boxes, **shared),
            "mipnet-lite, flip test": load("mipnet-lite", box_threshold=given.boxes, flip=True, **shared),
            "unmodified, all crops together": load(
                cascade, detector=given.picodet, box_threshold=given.boxes, **shared
            ),
            "boir-lite": load("boir-lite", **shared),
        }
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in models}
        seconds: dict[str, list[float]] = {name: [] for name in models}
        crops: list[int] = []
        for entry in truth["images"]:
            image = read_image(given.images / entry["file_name"])
            crops.append(len(reference_model.crops(reference_model.prepare(image))))
            for name, model in models.items():
                time.sleep(PAUSE)
                begin = time.perf_counter()
                people = model(image)
                seconds[name].append(time.perf_counter() - begin)
                found = people.to_coco(image_id=entry["id"])
                results[name] += [{**one, "category_id": category} for one in found]
    few = (np.array(crops) >= FEWEST) & (np.array(crops) <= MOST)
    print(f"{few.sum()} of {len(few)} photos have {FEWEST} to {MOST} boxes from {CASCADE_BOXES} on")
    for name, rows in results.items():
        everyone, overlapped = average_precision(rows, truth)
        own, reference = np.array(seconds[name]), np.array(seconds[REFERENCE])
        print(
            f"{name}: AP {everyone:.3f}, overlapped {overlapped:.3f}, {len(rows) / len(truth['images']):.1f} people a "
            f"photo; all photos {1000 * np.median(own):.0f} ms, {np.median(own / reference):.2f} of the cascade's; "
            f"{FEWEST} to {MOST} boxes {1000 * np.median(own[few]):.0f} ms, {np.median((own / reference)[few]):.2f}"
        )


if __name__ == "__main__":
    main()
