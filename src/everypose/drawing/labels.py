"""Labels above people: their identity, their score."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.drawing.colors import person_color
from everypose.drawing.style import DrawingStyle

if TYPE_CHECKING:
    from everypose.people import People

FONT = cv2.FONT_HERSHEY_SIMPLEX
HEIGHT_SHARE = 0.014
"""Height of the text, as a share of the longer side of the image."""
SMALLEST_HEIGHT = 9
_FONT_PIXELS = 22
"""Height of a capital letter of the font at scale 1, in pixels."""


def draw_labels(image: Image, people: "People", style: DrawingStyle) -> None:
    """Write the labels of people into an image.

    Args:
        image: (H, W, 3) uint8 RGB, changed in place.
        people: the people in it.
        style: which texts are drawn.

    Example:
        >>> import numpy as np
        >>> from everypose.people import People
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (1, 17, 3))
        >>> people = People(pose, [0.9], Skeleton.named("coco"))
        >>> image = np.zeros((100, 100, 3), np.uint8)
        >>> draw_labels(image, people, DrawingStyle(labels=("score",)))
        >>> bool(image.any())
        True
    """
    text_height = max(SMALLEST_HEIGHT, HEIGHT_SHARE * max(image.shape[:2]))
    for index, text in enumerate(label_texts(people, style)):
        if not text:
            continue
        identity = index if people.ids is None else int(people.ids[index])
        left, top = people.boxes[index, :2].clip(-(2**20), 2**20).tolist()
        _write(image, text, (left, top), text_height, person_color(identity, style.palette))


def label_texts(people: "People", style: DrawingStyle) -> list[str]:
    """Return the text of each person's label.

    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> some = People(np.zeros((1, 17, 3)), [0.871], Skeleton.named("coco"), ids=[4])
    >>> label_texts(some, DrawingStyle(labels=("id", "score")))
    ['4 0.87']
    """
    parts: dict[str, list[str]] = {
        "id": [""] * len(people) if people.ids is None else [str(identity) for identity in people.ids],
        "score": [f"{score:.2f}" for score in people.scores.tolist()],
    }
    return [" ".join(filter(None, each)) for each in zip(*(parts[label] for label in style.labels), strict=True)]


def _write(
    image: Image, text: str, place: tuple[float, float], text_height: float, color: tuple[int, int, int]
) -> None:
    """Write one line on a filled rectangle whose lower left corner is at ``place``, moved into the image."""
    scale = text_height / _FONT_PIXELS
    thickness = max(1, round(scale * 1.8))
    (width, height), below = cv2.getTextSize(text, FONT, scale, thickness)
    pad = max(2, round(0.3 * text_height))
    box = np.array([width + 2 * pad, height + below + pad])
    left, top = np.clip(np.array(place) - (0, box[1]), 0, np.maximum(np.array(image.shape[1::-1]) - box, 0)).astype(int)
    cv2.rectangle(image, (left, top), (left + int(box[0]), top + int(box[1])), color, -1)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (16, 16, 24) if bright else (255, 255, 255)
    cv2.putText(image, text, (left + pad, top + height + pad // 2), FONT, scale, ink, thickness, cv2.LINE_AA)
