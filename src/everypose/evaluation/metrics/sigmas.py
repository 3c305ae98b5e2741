"""OKS sigmas of a custom skeleton, estimated from people that two annotators labeled independently.

COCO's sigma of a keypoint is the standard deviation of annotators relative to the person's scale:
sigma^2 = E[d^2 / s^2], with s^2 the person's area (https://cocodataset.org/#keypoints-eval).
"""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import GroundTruth

MINIMUM_IOU = 0.5
MINIMUM_REPEATS = 10


@dataclass(frozen=True)
class SigmaEstimate:
    """Estimated sigmas and how many labels they rest on.

    Attributes:
        sigmas: (K,) float64.
        repeats: (K,) int64, people on whom both annotators labeled the keypoint.
        people: how many people both annotators labeled.

    >>> SigmaEstimate(sigmas=np.array([0.03]), repeats=np.array([120]), people=130).sigmas.tolist()
    [0.03]
    """

    sigmas: Float64
    repeats: Int64
    people: int


def estimate_sigmas(
    first: GroundTruth, second: GroundTruth, *, minimum_repeats: int = MINIMUM_REPEATS
) -> SigmaEstimate:
    """Estimate sigmas from two independent annotations of the same images.

    Images are paired by file name. Two boxes are the same person if each is the other's best match and their IoU is at
    least 0.5. With d the distance between the two labels of a keypoint, the variance of one annotator is half of
    E[d^2 / s^2].

    Args:
        first: the people as the first annotator labeled them.
        second: the same people by the second annotator.
        minimum_repeats: fewest people on whom both must have labeled each keypoint.

    Raises:
        EveryposeError: if the annotations share no people, a keypoint is labeled too rarely, or one is a copy of the
            other.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(400)]
    >>> rng = np.random.default_rng(0)
    >>> def annotated():
    ...     people = [
    ...         {"id": i, "image_id": i, "keypoints": [*rng.normal(50, 5, 2), 2], "bbox": [0, 0, 100, 100], "area": 1e4}
    ...         for i in range(400)
    ...     ]
    ...     return read_ground_truth({"images": images, "annotations": people}, 1)
    >>> estimate_sigmas(annotated(), annotated()).sigmas.round(2).tolist()  # 5 of 100 pixels in x and in y
    [0.07]
    """
    keypoint_count = first.keypoints.shape[1]
    rows_a, rows_b = _same_people(first, second)
    if len(rows_a) == 0:
        raise EveryposeError("the two annotation files share no people (same file name, boxes with an IoU of 0.5)")
    a, b = first.keypoints[rows_a], second.keypoints[rows_b]
    both = (a[:, :, 2] > 0) & (b[:, :, 2] > 0)
    repeats = both.sum(axis=0)
    if (rare := np.flatnonzero(repeats < minimum_repeats)).size:
        raise EveryposeError(
            f"keypoint {rare[0]} is labeled by both annotators on {repeats[rare[0]]} people only, at least"
            f" {minimum_repeats} are needed ({rare.size} of {keypoint_count} keypoints are too rare)"
        )
    area = (first.areas[rows_a] + second.areas[rows_b]) / 2
    squared = ((a[:, :, :2] - b[:, :, :2]) ** 2).sum(axis=2) / area[:, None]
    sigmas = np.sqrt(np.where(both, squared, 0).sum(axis=0) / repeats / 2)
    if not (sigmas > 0).all():
        raise EveryposeError("the two annotation files agree exactly in a keypoint: is one a copy of the other?")
    return SigmaEstimate(sigmas, repeats, len(rows_a))


def _same_people(a: GroundTruth, b: GroundTruth) -> tuple[Int64, Int64]:
    """Rows of ``a`` and ``b`` that annotate the same person."""
    image_of_name = {name: row for row, name in enumerate(b.file_names) if name is not None}
    pairs = []
    for image_a, name in enumerate(a.file_names):
        if name is None or (image_b := image_of_name.get(name)) is None:
            continue
        rows_a = np.flatnonzero((a.image == image_a) & a.is_scored & (a.areas > 0))
        rows_b = np.flatnonzero((b.image == image_b) & b.is_scored & (b.areas > 0))
        if rows_a.size and rows_b.size:
            iou = box_iou(xywh_to_xyxy(a.boxes[rows_a]), xywh_to_xyxy(b.boxes[rows_b]))
            best = iou.argmax(axis=1)
            mutual = (iou.argmax(axis=0)[best] == np.arange(len(rows_a))) & (iou.max(axis=1) >= MINIMUM_IOU)
            pairs.append(np.stack([rows_a[mutual], rows_b[best[mutual]]]))
    matched = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    return matched[0], matched[1]
