"""Plane geometry of poses: affine maps, boxes, object keypoint similarity (OKS) and its non-maximum suppression."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64, Mask, Numbers
from everypose.errors import EveryposeError

PAIRS_AT_ONCE = 1 << 16
"""Pairs of poses whose distances are computed together: 18 MB of differences for 17 keypoints."""


class Size(NamedTuple):
    """Width and height in pixels.

    >>> Size(640, 480).height
    480
    """

    width: int
    height: int


def similarity(center: npt.ArrayLike, scale: float, rotation: float, target_center: npt.ArrayLike) -> Float64:
    """Return the (2, 3) matrix of a rotation, a scaling and a translation.

    It maps p to scale [[cos, sin], [-sin, cos]] (p - center) + target_center.

    Args:
        center: (2,) x, y in the source, in pixels; mapped to ``target_center``.
        scale: factor of lengths.
        rotation: degrees; positive is counter-clockwise as seen in the image, since y points down.
        target_center: (2,) x, y in the target, in pixels.

    >>> similarity((1, 1), 2.0, 0.0, (5, 5))
    array([[ 2.,  0.,  3.],
           [-0.,  2.,  3.]])
    """
    angle = np.deg2rad(rotation)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]])
    offset = np.asarray(target_center, dtype=np.float64) - linear @ np.asarray(center, dtype=np.float64)
    return np.column_stack([linear, offset])


def transform(points: npt.ArrayLike, matrix: Float64) -> Float64:
    """Map points (..., 2) by a (2, 3) matrix.

    >>> transform([[1, 1], [2, 1]], similarity((1, 1), 2.0, 0.0, (5, 5)))
    array([[5., 5.],
           [7., 5.]])
    """
    mapped: Float64 = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def inverse(matrix: Float64) -> Float64:
    """Return the inverse (2, 3) of an affine matrix (2, 3).

    >>> transform([[5, 5]], inverse(similarity((1, 1), 2.0, 0.0, (5, 5))))
    array([[1., 1.]])
    """
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def reduced_matrix(matrix: Float64, reduction: int) -> Float64:
    """Adapt an image's (2, 3) matrix to the image that is ``reduction`` times smaller.

    Each pixel of the smaller image stands for a square of ``reduction`` x ``reduction`` pixels.

    >>> transform([[0, 0]], reduced_matrix(similarity((0, 0), 1.0, 0.0, (0, 0)), 4))
    array([[1.5, 1.5]])
    """
    linear, offset = matrix[:, :2], matrix[:, 2]
    # Pixel centers are integers: that of the first square lies at (reduction - 1) / 2.
    return np.column_stack([linear * reduction, offset + linear.sum(axis=1) * (reduction - 1) / 2])


def fit_short_side(image: Size, short_side: int, step: int) -> tuple[Size, Float64]:
    """Return the input of a single-stage network for an image: short side ``short_side``, sides multiples of ``step``.

    Args:
        image: size of the image.
        short_side: short side of the input, in pixels, before it is rounded up to a multiple of ``step``.
        step: both sides of the input are multiples of this.

    Returns:
        The input's size, and the (2, 3) matrix from image to input pixels: one factor for both axes; the rounded
        center of the image is mapped to the center of the input. Sizes as in CID's and BoIR's released inference.

    Raises:
        EveryposeError: if a side is not positive.

    >>> fit_short_side(Size(640, 480), 512, 64)[0]
    Size(width=704, height=512)
    """
    if min(*image, short_side) < 1:
        raise EveryposeError(f"an image of {image.width} x {image.height} pixels cannot be resized to {short_side}")
    smaller, larger = sorted(image)
    short = _round_up(short_side, step)
    long = _round_up(short / smaller * larger, step)
    fitted = Size(short, long) if image.width <= image.height else Size(long, short)
    center = (int(image.width / 2 + 0.5), int(image.height / 2 + 0.5))
    return fitted, similarity(center, short / smaller, 0.0, (fitted.width / 2, fitted.height / 2))


def _round_up(length: float, step: int) -> int:
    """The next multiple of ``step``; an excess below one pixel is dropped, as in the released inference."""
    return int((length + step - 1) // step * step)


def box_iou(first: Numbers, second: Numbers) -> Float64:
    """Compute the intersection over union (N, M) of boxes (N, 4) and (M, 4).

    Boxes are x1, y1, x2, y2. Two boxes without area have IoU 0.

    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [0, 0, 1, 2], [5, 5, 6, 6]])
    array([[1. , 0.5, 0. ]])
    """
    a = np.asarray(first, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, dtype=np.float64).reshape(1, -1, 4)
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = overlap.clip(min=0).prod(axis=-1)
    union = _box_area(a) + _box_area(b) - intersection
    iou: Float64 = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def _box_area(boxes: Float64) -> Float64:
    area: Float64 = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    return area


def xywh_to_xyxy(boxes: Numbers) -> Float64:
    """Convert boxes (N, 4) from COCO's x, y, width, height to x1, y1, x2, y2.

    >>> xywh_to_xyxy([[1, 2, 10, 20]])
    array([[ 1.,  2., 11., 22.]])
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: Numbers) -> Float64:
    """Convert boxes (N, 4) from x1, y1, x2, y2 to COCO's x, y, width, height.

    >>> xyxy_to_xywh([[1, 2, 11, 22]])
    array([[ 1.,  2., 10., 20.]])
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def keypoint_boxes(keypoints: Numbers) -> Float64:
    """Return the boxes (N, 4), x1 y1 x2 y2, around keypoints (N, K, 2 or 3).

    With a third column, only keypoints with a positive score or visibility count; a person without any gets zeros.

    >>> keypoint_boxes([[[1, 2, 0.9], [4, 6, 0.8], [100, 100, 0.0]]])
    array([[1., 2., 4., 6.]])
    """
    points = np.asarray(keypoints, dtype=np.float64)
    seen = points[..., 2] > 0 if points.shape[-1] > 2 else np.ones(points.shape[:2], dtype=bool)
    seen = seen[..., None]
    low = np.where(seen, points[..., :2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, points[..., :2], -np.inf).max(axis=1, initial=-np.inf)
    boxes: Float64 = np.where(seen.any(axis=1), np.concatenate([low, high], axis=1), 0.0)
    return boxes


def oks(first: Numbers, second: Numbers, areas: Numbers, sigmas: Numbers) -> Float64:
    """Compute the object keypoint similarity (N, M) of poses (N, K, 2 or more) and (M, K, 2 or more).

    The mean over all K keypoints of exp(-d^2 / (2 (2 sigma)^2 A)).

    Args:
        first: poses; columns after x, y are ignored.
        second: poses.
        areas: A in square pixels, (N,) one for each of the first poses, or (N, M).
        sigmas: (K,)

    >>> oks([[[0, 0]]], [[[0, 0]], [[0, 10]]], areas=[2500.0], sigmas=[0.1]).round(3)
    array([[1.   , 0.607]])
    """
    a = np.asarray(first, dtype=np.float64)[..., :2]
    b = np.asarray(second, dtype=np.float64)[None, :, :, :2]
    area = np.asarray(areas, dtype=np.float64)
    area = (area[:, None] if area.ndim == 1 else area)[..., None]
    spread = 2 * (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    similar = np.empty((len(a), b.shape[1]))
    rows = max(1, PAIRS_AT_ONCE // max(1, b.shape[1]))
    for start in range(0, len(a), rows):
        block = slice(start, start + rows)
        squared = ((a[block, None] - b) ** 2).sum(axis=-1)
        # Epsilon keeps a pose without extent similar to itself (0 / 0) and to nothing else.
        similar[block] = np.exp(-squared / (spread * area[block] + np.finfo(np.float64).eps)).mean(axis=-1)
    return similar


def oks_nms(keypoints: Numbers, scores: Numbers, sigmas: Numbers, threshold: float) -> Int64:
    """Remove duplicate poses by greedy non-maximum suppression with OKS.

    A pair's area is the mean of the two poses' extents (the boxes around all their keypoints).

    Args:
        keypoints: (N, K, 3)
        scores: (N,)
        sigmas: (K,)
        threshold: a pose is removed if its OKS with a kept pose is above this.

    Returns:
        (M,) indices of the kept poses, best first; of equal scores the earlier pose is better.

    >>> pose = np.array([[0, 0, 1.0], [20, 20, 1.0]])
    >>> oks_nms([pose, pose + [1, 0, 0], pose + [50, 0, 0]], [0.5, 0.9, 0.4], sigmas=[0.1, 0.1], threshold=0.7)
    array([1, 2])
    """
    extents = _box_area(keypoint_boxes(np.asarray(keypoints, dtype=np.float64)[..., :2]))
    similar = pairwise_oks(keypoints, extents, sigmas) > threshold
    return suppress(similar, np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable"))


def pairwise_oks(keypoints: Numbers, areas: Numbers, sigmas: Numbers) -> Float64:
    """Compute the OKS (N, N) of every pair of poses (N, K, 2 or more).

    A pair's area is the mean of its two ``areas`` (N,), in square pixels.

    >>> pairwise_oks([[[0, 0]], [[0, 10]]], areas=[2500.0, 2500.0], sigmas=[0.1]).round(3)
    array([[1.   , 0.607],
           [0.607, 1.   ]])
    """
    each = np.asarray(areas, dtype=np.float64)
    return oks(keypoints, keypoints, (each[:, None] + each[None, :]) / 2, sigmas)


def suppress(similar: Mask, order: npt.NDArray[np.integer]) -> Int64:
    """Drop each candidate that is similar to a better one that is kept.

    Args:
        similar: (N, N), whether two candidates are duplicates.
        order: (N,) indices, best first.

    Returns:
        (M,) indices of the kept ones, best first.

    >>> suppress(np.array([[True, True], [True, True]]), np.array([1, 0]))
    array([1])
    """
    alive = np.ones(len(similar), dtype=bool)
    kept = []
    for index in order:
        if alive[index]:
            kept.append(index)
            alive &= ~similar[index]
    return np.array(kept, dtype=np.int64)
