"""The images on which predictions are worst, drawn."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from everypose.data.discovery.annotation_files import image_path
from everypose.data.images import read_image
from everypose.drawing import draw_people
from everypose.evaluation.coco_arrays import Floats
from everypose.evaluation.evaluate import Evaluation
from everypose.evaluation.metrics.error_types import Matches, match
from everypose.evaluation.metrics.oks import Comparison
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

LONGEST_SIDE = 560
JPEG_QUALITY = 80


@dataclass(frozen=True)
class WorstImage:
    """A drawn image: truth left, as many of the best-scored predictions right, as JPEG."""

    file_name: str
    caption: str
    jpeg: bytes


def worst_images(evaluation: Evaluation, count: int) -> list[WorstImage]:
    """The ``count`` images that lose most OKS, the loss being the sum of 1 - OKS over people; unmatched people lose 1.

    Raises:
        EveryposeError: when one of them cannot be read.
    """
    comparison = evaluation.measured.comparison
    if comparison is None or evaluation.image_root is None:
        return []
    matches = match(comparison)
    loss = image_losses(comparison, matches)
    order = np.argsort(-loss, kind="stable")[:count]
    chosen = [image for image in order.tolist() if loss[image] > 0]
    root, skeleton = evaluation.image_root, evaluation.skeleton
    return [_drawn(comparison, skeleton, root, image, float(loss[image])) for image in chosen]


def image_losses(comparison: Comparison, matches: Matches) -> Floats:
    """(images,) how much OKS the people of each image lose."""
    truth = comparison.truth
    people = np.bincount(truth.image[truth.counted], minlength=len(truth.image_ids)).astype(np.float64)
    found = np.bincount(truth.image[matches.people], weights=matches.oks, minlength=len(truth.image_ids))
    lost: Floats = people - found
    return lost


def _drawn(comparison: Comparison, skeleton: Skeleton, image_root: Path, image: int, loss: float) -> WorstImage:
    truth, results = comparison.truth, comparison.results
    name = str(truth.images[image].get("file_name"))
    pixels = read_image(image_path(image_root, name) or image_root / name)
    scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    true = truth.keypoints[(truth.image == image) & truth.counted]
    rows = np.flatnonzero(results.image == image)
    rows = rows[np.argsort(-results.scores[rows], kind="stable")][: len(true)]
    pair = [_people(true, np.ones(len(true)), skeleton, scale)]
    pair.append(_people(results.keypoints[rows], results.scores[rows], skeleton, scale))
    joined = np.concatenate(
        [draw_people(small, people, weakest=-1.0 if i else 0.0) for i, people in enumerate(pair)], 1
    )
    caption = f"{name}: {len(true)} people, {len(rows)} best predictions shown, {loss:.2f} of {len(true)} OKS lost"
    _, content = cv2.imencode(".jpg", cv2.cvtColor(joined, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return WorstImage(name, caption, content.tobytes())


def _people(keypoints: Floats, scores: Floats, skeleton: Skeleton, scale: float) -> People:
    """People in the scaled picture; pixel centres are at integers."""
    scaled = keypoints.copy()
    scaled[:, :, :2] = (scaled[:, :, :2] + 0.5) * scale - 0.5
    return People(scaled, scores, skeleton)
