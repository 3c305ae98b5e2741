"""How similar tracks and detections are, and their one-to-one assignment."""

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.core.assignment import best_assignment
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.tracking.motion import SMALLEST_SIDE

SMALLEST_WEIGHT = 1e-3
"""Of a keypoint without a score, so that poses without any scores compare all keypoints alike."""


def pose_similarity(
    predicted: Float64, detected: Float64, *, areas: Float64, sigmas: Float64, position_variance: Float64
) -> Float64:
    """OKS (T, N) of predicted and detected poses, with keypoints weighted by the lower of their two scores.

    The variance of a keypoint is that of OKS, (2 sigma)^2 x area, plus that of the predicted position: a person who
    was not detected for long may be found further away.

    Args:
        predicted: (T, K, 3) x, y, score.
        detected: (N, K, 3) x, y, score.
        areas: (T, N) square pixels.
        sigmas: (K,)
        position_variance: (T,) square pixels.

    Example:
        >>> pose = np.array([[[10.0, 10.0, 1.0], [20.0, 30.0, 1.0]]])
        >>> pose_similarity(
        ...     pose, pose + [0, 1, 0], areas=np.array([[400.0]]), sigmas=np.full(2, 0.1), position_variance=np.zeros(1)
        ... ).round(3).tolist()
        [[0.969]]
    """
    difference = predicted[:, None, :, :2] - detected[None, :, :, :2]
    squared = np.einsum("tnkc,tnkc->tnk", difference, difference)
    variance = (2 * sigmas) ** 2 * areas[..., None] + position_variance[:, None, None]
    weights = np.minimum(predicted[:, None, :, 2], detected[None, :, :, 2]).clip(min=SMALLEST_WEIGHT)
    similarity: Float64 = (np.exp(-squared / (2 * variance)) * weights).sum(axis=2) / weights.sum(axis=2)
    return similarity


def pair_areas(first: Float64, second: Float64) -> Float64:
    """(T, N) mean areas, by OKS's rule 0.53 x box, of people in boxes (T, 4) and (N, 4) x1 y1 x2 y2.

    Example:
        >>> pair_areas(np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 20]])).tolist()
        [[79.5]]
    """
    one, other = (AREA_OF_BOX * _area(boxes) for boxes in (first, second))
    return (one[:, None] + other) / 2


def covered_share(boxes: Float64, others: Float64) -> Float64:
    """(T,) the largest share of each box (T, 4) that one of the other boxes (N, 4) covers; 0 without others.

    Example:
        >>> covered_share(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 20, 10]])).tolist()
        [0.5]
    """
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    share: Float64 = (high - low).clip(min=0).prod(axis=2).max(axis=1, initial=0.0) / _area(boxes)
    return share


def assign(similarity: Float64, allowed: Mask) -> tuple[Int64, Int64]:
    """Rows and columns of the assignment of allowed pairs with the greatest total similarity.

    Args:
        similarity: (T, N) positive numbers.
        allowed: (T, N) pairs that may be matched.

    Example:
        >>> rows, columns = assign(np.array([[0.9, 0.8], [0.7, 0.1]]), np.array([[True, True], [True, False]]))
        >>> rows.tolist(), columns.tolist()
        ([0, 1], [1, 0])
    """
    rows, columns = best_assignment(np.where(allowed, similarity, 0.0))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def _area(boxes: Float64) -> Float64:
    area: Float64 = (boxes[:, 2:] - boxes[:, :2]).clip(min=SMALLEST_SIDE).prod(axis=1)
    return area
