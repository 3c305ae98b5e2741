"""Segmentations (polygons, run-length codes) as masks, and the mask of pixels that losses use."""

from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.data.formats.coco_entries import LARGEST_NUMBER
from everypose.data.scenes import Scene, Segmentation
from everypose.errors import EveryposeError


def segmentation_mask(segmentation: Segmentation, height: int, width: int) -> Mask:
    """Rasterize one annotation's segmentation.

    Args:
        segmentation: COCO polygons, or a run-length code, compressed or not; None gives an empty mask.
        height: of the image.
        width: of the image.

    Returns:
        (height, width) bool.

    Raises:
        EveryposeError: if it is neither, or its runs do not add up to the image.

    Example:
        >>> segmentation_mask([[0, 0, 2, 0, 2, 2, 0, 2]], height=3, width=4).astype(int).sum(axis=1).tolist()
        [2, 2, 0]
    """
    if segmentation is None:
        return np.zeros((height, width), dtype=np.bool_)
    try:
        if isinstance(segmentation, dict):
            return _decode_runs(segmentation, height, width)
        return _fill_polygons(segmentation, height, width)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise EveryposeError("a segmentation is neither polygons nor a run-length code of its image") from error


def loss_mask(scene: Scene, mask_unlabeled: bool = True) -> Mask:
    """Mask of the pixels that losses use: False on crowd regions.

    Args:
        scene: the annotated image; annotations without a segmentation are masked by their box.
        mask_unlabeled: mask people without any labeled keypoint, too (the rule for COCO).

    Returns:
        (height, width) bool.

    Raises:
        EveryposeError: if a segmentation is malformed; the message names the annotation.

    >>> from pathlib import Path
    >>> scene = Scene(
    ...     image_id=1, path=Path("a.jpg"), file_name="a.jpg", width=4, height=3, annotation_ids=np.array([7]),
    ...     keypoints=np.zeros((1, 17, 3)), boxes=np.array([[0.0, 0, 2, 3]]), areas=np.array([6.0]),
    ...     is_crowd=np.array([True]), segmentations=[None],
    ... )
    >>> loss_mask(scene).astype(int).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    mask = np.ones((scene.height, scene.width), dtype=np.bool_)
    hidden = scene.is_crowd | ~scene.has_keypoints if mask_unlabeled else scene.is_crowd
    for index in np.flatnonzero(hidden):
        segmentation = scene.segmentations[index]
        if segmentation is None:
            x1, y1, x2, y2 = np.rint(scene.boxes[index]).astype(np.int64).clip(min=0)
            mask[y1:y2, x1:x2] = False
            continue
        try:
            mask &= ~segmentation_mask(segmentation, scene.height, scene.width)
        except EveryposeError as error:
            raise EveryposeError(
                f"{scene.file_name}, annotation {scene.annotation_ids[index]}: {error}; correct it or remove it"
            ) from error
    return mask


def _fill_polygons(polygons: list[list[float]], height: int, width: int) -> Mask:
    """The union of polygons."""
    mask = np.zeros((height, width), dtype=np.bool_)
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        if not (np.abs(points) < LARGEST_NUMBER).all():  # NaN, too
            raise ValueError("a vertex is not a number")
        if len(points):
            _add_polygon(mask, points)
    return mask


def _add_polygon(mask: Mask, points: Float64) -> None:
    """Set the pixels whose center is inside a polygon (even-odd rule; COCO has pixel centers at half numbers).

    OpenCV's fillPoly also sets the pixels that the outline touches, so people would grow by half a pixel.
    """
    height, width = mask.shape
    ends = np.roll(points, -1, axis=0)
    forward = (points[:, 0] <= ends[:, 0])[:, None]
    left, right = np.where(forward, points, ends), np.where(forward, ends, points)
    first, stop = (np.ceil(side[:, 0] - 0.5).clip(0, width).astype(np.int64) for side in (left, right))

    # One entry for each edge and each column whose center line it crosses, and the row of the crossing.
    crossed = stop - first
    edge = np.repeat(np.arange(len(points)), crossed)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    along = (column + 0.5 - left[edge, 0]) / (right[edge, 0] - left[edge, 0])
    y = left[edge, 1] + along * (right[edge, 1] - left[edge, 1])
    row = np.ceil(y - 0.5).clip(0, height).astype(np.int64)
    if not len(row):
        return
    top, start = row.min(), column.min()
    crossings = np.zeros((row.max() - top + 1, column.max() - start + 1), dtype=np.uint8)
    np.add.at(crossings, (row - top, column - start), 1)
    inside = np.bitwise_xor.accumulate(crossings[:-1] & 1, axis=0).astype(np.bool_)
    mask[top : row.max(), start : column.max() + 1] |= inside


def _decode_runs(code: dict[str, Any], height: int, width: int) -> Mask:
    """Runs of 0 and 1 in turn, beginning with 0, down the columns."""
    counts = code["counts"]
    runs = np.array(_uncompress(counts) if isinstance(counts, str | bytes) else counts, dtype=np.int64)
    if list(code["size"]) != [height, width] or runs.sum() != height * width or (runs < 0).any():
        raise ValueError("the runs do not add up to the image")
    values = np.arange(len(runs)) % 2 == 1
    mask: Mask = np.repeat(values, runs).reshape(width, height).T
    return mask


def _uncompress(counts: str | bytes) -> list[int]:
    """COCO's compressed runs: numbers of 5-bit digits, lowest first, each character 48 + digit (+ 32: more follow).

    The top bit of a number's last digit is its sign; from the fourth run on, a number is the difference to the run two
    before it.
    """
    digits = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    value = shift = 0
    for digit in digits:
        bits = digit - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
