"""Boxes of people, which top-down models need, and the interface of detectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Image
from everypose.core.geometry import box_iou
from everypose.errors import EveryposeError, UsageError


@dataclass(frozen=True)
class Photo:
    """An image in which people are to be found.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        path: its file, if it came from one.

    >>> Photo(np.zeros((48, 64, 3), np.uint8)).path is None
    True
    """

    image: Image
    path: Path | None = None


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image's people, in any order; they may overlap and reach beyond the image.

    Attributes:
        boxes: (N, 4) x1 y1 x2 y2, image pixels.
        scores: (N,) confidence, 0 to 1.

    Raises:
        UsageError: if the shapes do not belong together.
        EveryposeError: if a number is not finite.

    >>> Boxes(np.array([[0.0, 0, 10, 20]]), np.array([0.9])).scores.tolist()
    [0.9]
    """

    boxes: Float64
    scores: Float64

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or self.boxes.shape != (len(self.scores), 4):
            raise UsageError(
                f"boxes of shape {self.boxes.shape} and scores of shape {self.scores.shape} are not (N, 4) and (N,)"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise EveryposeError("a person's box or its score is not a finite number")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, which: npt.NDArray[Any]) -> "Boxes":
        """Several by an array of positions, or a mask of N truth values."""
        return Boxes(self.boxes[which], self.scores[which])


class Detector(Protocol):
    """Anything that finds the boxes of people in an image.

    >>> class Everything:
    ...     def __call__(self, photo):
    ...         height, width = photo.image.shape[:2]
    ...         return Boxes(np.array([[0.0, 0, width, height]]), np.ones(1))
    >>> detector: Detector = Everything()
    >>> detector(Photo(np.zeros((48, 64, 3), np.uint8))).boxes.tolist()
    [[0.0, 0.0, 64.0, 48.0]]
    """

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people."""
        ...


@runtime_checkable
class BatchDetector(Protocol):
    """A detector that takes several images at once.

    >>> class Nothing:
    ...     def detect_batch(self, photos):
    ...         return [Boxes(np.zeros((0, 4)), np.zeros(0)) for _ in photos]
    >>> isinstance(Nothing(), BatchDetector)
    True
    """

    def detect_batch(self, photos: Sequence[Photo]) -> list[Boxes]:
        """The boxes of each image's people."""
        ...


def detect_all(detector: Detector, photos: Sequence[Photo]) -> list[Boxes]:
    """The boxes of several images' people, at once if the detector takes batches.

    >>> detect_all(lambda photo: Boxes(np.zeros((0, 4)), np.zeros(0)), [])
    []
    """
    if isinstance(detector, BatchDetector):
        return detector.detect_batch(photos)
    return [detector(photo) for photo in photos]


def box_nms(boxes: Boxes, threshold: float) -> Boxes:
    """Greedy suppression: boxes whose IoU with a better kept one is above ``threshold`` go; best first.

    >>> boxes = Boxes(np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]]), np.array([0.9, 0.8, 0.7]))
    >>> box_nms(boxes, threshold=0.5).scores.tolist()
    [0.9, 0.7]
    """
    order = np.argsort(-boxes.scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[box_iou(boxes.boxes[[best]], boxes.boxes[rest])[0] <= threshold]
    return boxes[np.array(kept, np.int64)]
