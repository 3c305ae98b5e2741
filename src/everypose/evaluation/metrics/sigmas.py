"""Sigmas of a skeleton of one's own, from people whom two annotators labelled independently.

COCO's sigma is the standard deviation of annotators, keypoint by keypoint, relative to the person's scale:
sigma^2 = E[d^2 / s^2] with s^2 the person's area (https://cocodataset.org/#keypoints-eval).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import Floats, Ints, Truth, read_truth

MINIMUM_OVERLAP = 0.5
MINIMUM_REPEATS = 10


@dataclass(frozen=True)
class SigmaEstimate:
    """Estimated sigmas (K,), and how many people (K,) labelled twice each rests on; ``people`` were matched in all."""

    sigmas: Floats
    repeats: Ints
    people: int


def estimate_sigmas(
    first: dict[str, Any], second: dict[str, Any], keypoint_count: int, minimum_repeats: int = MINIMUM_REPEATS
) -> SigmaEstimate:
    """Estimate sigmas from two annotation files of the same images, made independently of each other.

    Images are paired by file name, people by box: each is the other's best match, with an IoU of at least 0.5. With
    d the distance between the two labels of a keypoint, one annotator's variance is half of E[d^2 / s^2].

    Args:
        first: content of a COCO-format file.
        second: the same people's, by another annotator.
        keypoint_count: K.
        minimum_repeats: fewest people that must have a keypoint labelled twice.

    Raises:
        EveryposeError: when the files share no people, or a keypoint occurs too rarely.
    """
    a, b = read_truth(first, keypoint_count), read_truth(second, keypoint_count)
    rows_a, rows_b = _same_people(a, b)
    if len(rows_a) == 0:
        raise EveryposeError("the two annotation files share no people (same file name, boxes overlapping by 0.5)")
    ka, kb = a.keypoints[rows_a], b.keypoints[rows_b]
    both = (ka[:, :, 2] > 0) & (kb[:, :, 2] > 0)
    repeats = both.sum(axis=0)
    if (rare := np.flatnonzero(repeats < minimum_repeats)).size:
        raise EveryposeError(
            f"keypoint {rare[0]} is labelled by both annotators on {repeats[rare[0]]} people only, at least"
            f" {minimum_repeats} are needed ({rare.size} of {keypoint_count} keypoints are too rare)"
        )
    area = (a.areas[rows_a] + b.areas[rows_b]) / 2
    squared = ((ka[:, :, :2] - kb[:, :, :2]) ** 2).sum(axis=2) / area[:, None]
    sigmas = np.sqrt(np.where(both, squared, 0).sum(axis=0) / repeats / 2)
    if not (sigmas > 0).all():
        raise EveryposeError("the two annotation files agree exactly in a keypoint: is one a copy of the other?")
    return SigmaEstimate(sigmas, repeats, len(rows_a))


def _same_people(a: Truth, b: Truth) -> tuple[Ints, Ints]:
    """Rows of ``a`` and ``b`` that annotate the same person."""
    name_b = {image.get("file_name"): row for row, image in enumerate(b.images)}
    pairs = []
    for image_a, entry in enumerate(a.images):
        if (image_b := name_b.get(entry.get("file_name"))) is None:
            continue
        rows_a = np.flatnonzero((a.image == image_a) & a.counted & (a.areas > 0))
        rows_b = np.flatnonzero((b.image == image_b) & b.counted & (b.areas > 0))
        if rows_a.size and rows_b.size:
            iou = box_iou(xywh_to_xyxy(a.boxes[rows_a]), xywh_to_xyxy(b.boxes[rows_b]))
            best = iou.argmax(axis=1)
            mutual = (iou.argmax(axis=0)[best] == np.arange(len(rows_a))) & (iou.max(axis=1) >= MINIMUM_OVERLAP)
            pairs.append(np.stack([rows_a[mutual], rows_b[best[mutual]]]))
    found = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    return found[0], found[1]
