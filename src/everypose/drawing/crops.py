"""A crop for each person."""

from typing import TYPE_CHECKING

import numpy as np

from everypose.core.arrays import Image

if TYPE_CHECKING:
    from everypose.people import People

MARGIN = 0.1
"""Space around the box, as a share of its longer side."""


def person_crops(image: Image, people: "People", *, margin: float = MARGIN) -> list[Image]:
    """Cut out the box of each person with a margin, as far as it lies in the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: the people in it.
        margin: space around the box, as a share of its longer side.

    Returns:
        N views of the image (h, w, 3); empty ones for boxes outside it.

    Example:
        >>> import numpy as np
        >>> from everypose.people import People
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (1, 17, 3))
        >>> people = People(pose, [0.9], Skeleton.named("coco"))
        >>> crops = list(person_crops(np.zeros((100, 100, 3), np.uint8), people))
        >>> len(crops)
        1
    """
    height, width = image.shape[:2]
    extents = people.boxes[:, 2:] - people.boxes[:, :2]
    space = margin * extents.max(axis=1, initial=0.0, keepdims=True)
    low = np.floor(people.boxes[:, :2] - space).clip(0, (width, height)).astype(int)
    high = np.ceil(people.boxes[:, 2:] + space + 1).clip(0, (width, height)).astype(int)
    return [image[y1:y2, x1:x2] for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True)]
