"""Weighted box fusion: the boxes of several detectors become one set (Solovyev et al., 2021)."""

from collections.abc import Sequence

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import box_iou
from everypose.errors import UsageError
from everypose.inference.boxes import Boxes, Detector, Photo, detect_all

IOU = 0.55
"""Boxes with a larger IoU with a fused box belong to it; the paper's value."""


class FusedDetectors:
    """The people that several detectors find, without duplicates.

    A person found by few of the detectors scores lower than one found by all.

    Args:
        detectors: two or more.
        iou: boxes with a larger IoU are one person.

    Raises:
        UsageError: if there are fewer than two detectors, or the IoU is out of range.

    >>> from everypose.inference.box_sources import WholeImage
    >>> fused = FusedDetectors([WholeImage(), lambda photo: Boxes(np.zeros((0, 4)), np.zeros(0))])
    >>> fused(Photo(np.zeros((48, 64, 3), np.uint8))).scores.tolist()  # one of two detectors found it
    [0.5]
    """

    def __init__(self, detectors: Sequence[Detector], iou: float = IOU) -> None:
        if len(detectors) < 2:
            raise UsageError("the fusion of boxes needs two detectors or more")
        if not 0 < iou < 1:
            raise UsageError(f"the IoU of boxes that are fused must be above 0 and below 1, not {iou}")
        self.detectors = tuple(detectors)
        self.iou = iou

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people, best first."""
        return self.detect_batch([photo])[0]

    def detect_batch(self, photos: Sequence[Photo]) -> list[Boxes]:
        """The boxes of each image's people, best first."""
        found = [detect_all(detector, photos) for detector in self.detectors]
        return [fuse_boxes(boxes, self.iou) for boxes in zip(*found, strict=True)]


def fuse_boxes(found: Sequence[Boxes], iou: float = IOU) -> Boxes:
    """Fuse the boxes that several detectors found in one image (Section 3 of the paper, equal weights).

    From the highest score to the lowest, a box joins the fused box with which it has the largest IoU, if that is above
    ``iou``, or starts one. A fused box is the mean of its boxes weighted by their scores. Its score is their mean,
    times the share of the detectors that found it.

    Args:
        found: the boxes of each detector.
        iou: boxes with a larger IoU are one person.

    Returns:
        The fused boxes, best first.

    Example:
        >>> one = Boxes(np.array([[0.0, 0, 10, 10]]), np.array([0.8]))
        >>> other = Boxes(np.array([[0.0, 0, 10, 12]]), np.array([0.4]))
        >>> fuse_boxes([one, other]).boxes.round(2).tolist()
        [[0.0, 0.0, 10.0, 10.67]]
    """
    boxes = np.concatenate([one.boxes for one in found])
    scores = np.concatenate([one.scores for one in found])
    order = np.argsort(-scores, kind="stable")
    fused: Float64 = np.zeros((len(boxes), 4))
    sums: Float64 = np.zeros(len(boxes))
    members = np.zeros(len(boxes), np.int64)
    count = 0
    for index in order:
        overlaps = box_iou(boxes[[index]], fused[:count])[0]
        best = int(overlaps.argmax()) if count else 0
        if not count or overlaps[best] <= iou:
            best, count = count, count + 1
        weight = sums[best] + scores[index]
        share = scores[index] / weight if weight > 0 else 1 / (members[best] + 1)
        fused[best] += share * (boxes[index] - fused[best]) if members[best] else boxes[index]
        sums[best] = weight
        members[best] += 1
    fused, sums, members = fused[:count], sums[:count], members[:count]
    confidence = sums / np.maximum(members, 1) * np.minimum(members, len(found)) / len(found)
    best_first = np.argsort(-confidence, kind="stable")
    return Boxes(fused[best_first], confidence[best_first])
