"""AP of all people and of overlapped ones, with intervals from samples of the images."""

import contextlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.lite_cascade import only_overlapped
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.inference.estimator import Estimator

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
People = Mapping[int, tuple[Floats, Floats]]
"""By image id: keypoints (P, K, 3) and scores (P,)."""

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matches:
    """How the detections of one image match its people.

    Attributes:
        scores: (D,).
        matched: (10, D), for each OKS threshold.
        ignored: (10, D), detections of people that do not count.
        people: how many people count.
    """

    scores: Floats
    matched: Bools
    ignored: Bools
    people: int


def match(people: People, truth: Mapping[str, Any], *, overlapped: bool = False) -> list[Matches]:
    """COCO's matching of each image, 20 detections at most.

    Args:
        people: of some or all images; only images that are keys count.
        truth: the content of a COCO annotation file.
        overlapped: whether only people whose box overlaps another's (IoU above 0.3) count.
    """
    annotations = only_overlapped(truth["annotations"]) if overlapped else truth["annotations"]
    images = [image for image in truth["images"] if image["id"] in people]
    category = truth["categories"][0]["id"]
    results = [
        {"image_id": image, "category_id": category, "keypoints": keypoints.ravel().tolist(), "score": float(score)}
        for image, (poses, scores) in people.items()
        for keypoints, score in zip(poses, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        kept = [dict(one) for one in annotations if one["image_id"] in people]
        annotated.dataset = {**truth, "images": images, "annotations": kept}
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes(results), "keypoints")
        evaluation.evaluate()
    return [_matches(one) for one in evaluation.evalImgs[: len(images)]]


def _matches(image: Mapping[str, Any] | None) -> Matches:
    if image is None:
        return Matches(np.zeros(0), np.zeros((10, 0), bool), np.zeros((10, 0), bool), 0)
    counted = int((np.asarray(image["gtIgnore"]) == 0).sum())
    return Matches(np.asarray(image["dtScores"]), image["dtMatches"] > 0, image["dtIgnore"] > 0, counted)


def average_precision(images: Sequence[Matches]) -> float:
    """COCO's AP of all sizes."""
    scores = np.concatenate([one.scores for one in images])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([one.matched for one in images], axis=1)[:, order]
    counts = ~np.concatenate([one.ignored for one in images], axis=1)[:, order]
    total = max(sum(one.people for one in images), 1)
    precisions = []
    for hit, counted in zip(matched, counts, strict=True):
        right = np.cumsum(hit[counted])
        precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
        index = np.searchsorted(right / total, RECALLS)
        precisions.append(np.append(precision, 0.0)[np.minimum(index, len(precision))].mean())
    return float(np.mean(precisions))


def sampled(images: Sequence[Matches], samples: npt.NDArray[np.int64]) -> Floats:
    """AP of samples (S, N) of the images, drawn with replacement."""
    return np.array([average_precision([images[i] for i in sample]) for sample in samples])


def draw_samples(images: int, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Samples (``count``, N) of N images, with replacement."""
    return np.random.default_rng(seed).integers(0, images, (count, images))


def interval(values: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def estimated(
    models: Sequence[Estimator], annotations: str, images: str
) -> tuple[dict[str, Any], list[People], Floats]:
    """The annotations, and each model's people in their images with its CPU seconds; the models take turns."""
    truth: dict[str, Any] = read_json(Path(annotations))
    found: list[dict[int, tuple[Floats, Floats]]] = [{} for _ in models]
    seconds = np.zeros(len(models))
    for entry in track(truth["images"], "estimating", len(truth["images"])):
        image = read_image(Path(images) / entry["file_name"])
        for index, model in enumerate(models):
            begin = time.process_time()
            people = model(image)
            seconds[index] += time.process_time() - begin
            found[index][entry["id"]] = (people.keypoints.astype(np.float64), people.scores.astype(np.float64))
    return truth, list(found), seconds
