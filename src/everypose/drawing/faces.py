"""Faces made unrecognizable, by the keypoints of the head."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from everypose.core.arrays import Float64, Image
from everypose.errors import UsageError
from everypose.skeleton.matching import split_sides

if TYPE_CHECKING:
    from everypose.people import People

CELLS = 5
"""A face becomes a mosaic of this many cells a side: what they do not hold cannot be recovered."""
MARGIN = 1.8
"""The radius of the mosaic, in distances from the middle of the head to its farthest keypoint."""
SMALLEST_SHARE = 0.05
"""The smallest radius, as a share of the longer side of the person's box."""
_FACE = {"nose", "eye", "ear", "jaw"}
_HEAD = {"head", "head_top", "top_head", "neck", "upper_neck", "head_bottom"}


def blur_faces(image: Image, people: "People") -> Image:
    """Return a copy of an image in which the faces of these people are a coarse mosaic.

    Faces are found by the keypoints of the head, whatever their scores; those of people who were not detected stay.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: the people in it.

    Raises:
        UsageError: if the skeleton has no keypoint of the head.

    Example:
        >>> from everypose.people import People
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (1, 17, 3))
        >>> people = People(pose, [0.9], Skeleton.named("coco"))
        >>> blur_faces(np.zeros((100, 100, 3), np.uint8), people).shape
        (100, 100, 3)
    """
    blurred = image.copy()
    blur_faces_in_place(blurred, people)
    return blurred


def blur_faces_in_place(image: Image, people: "People") -> None:
    """Make the faces of these people a coarse mosaic; otherwise as :func:`blur_faces`, without a copy of the image.

    Example:
        >>> from everypose.people import People
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (1, 17, 3))
        >>> people = People(pose, [0.9], Skeleton.named("coco"))
        >>> blur_faces_in_place(np.zeros((100, 100, 3), np.uint8), people)
    """
    for (x, y), radius in zip(*_heads(people), strict=True):
        _make_mosaic(image, x, y, radius)


def _heads(people: "People") -> tuple[Float64, Float64]:
    """Return the middles (N, 2) and radii (N,) of the heads in pixels."""
    names = people.skeleton.keypoints
    parts = [part for _, part in split_sides(names)]
    face = [index for index, name in enumerate(names) if parts[index] in _FACE or name.startswith("face")]
    head = face or [index for index, part in enumerate(parts) if part in _HEAD]
    if not head:
        raise UsageError(f"faces cannot be blurred: the skeleton {people.skeleton.name!r} has no keypoint of the head")
    points = people.keypoints[:, head].astype(np.float64)
    weights = points[..., 2:].clip(min=1e-6)
    middles = (points[..., :2] * weights).sum(axis=1) / weights.sum(axis=1)
    distances = np.linalg.norm(points[..., :2] - middles[:, None], axis=2)
    # Keypoints that the model is unsure of count less, so that a stray one does not blow up the circle.
    shares = weights[..., 0] / weights[..., 0].max(axis=1, initial=1e-6, keepdims=True)
    sizes = (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1).astype(np.float64)
    return middles, np.maximum(MARGIN * (distances * shares).max(axis=1), SMALLEST_SHARE * sizes)


def _make_mosaic(image: Image, x: float, y: float, radius: float) -> None:
    """Replace a disc of the image by a coarse mosaic of itself."""
    height, width = image.shape[:2]
    left, right = (int(np.clip(value, 0, width)) for value in (np.floor(x - radius), np.ceil(x + radius) + 1))
    top, bottom = (int(np.clip(value, 0, height)) for value in (np.floor(y - radius), np.ceil(y + radius) + 1))
    region = image[top:bottom, left:right]
    if not region.size:
        return
    cells = cv2.resize(region, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(cells, region.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    rows, columns = np.ogrid[top:bottom, left:right]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    region[inside] = mosaic[inside]
