"""Trails: the way of each tracked person over the last seconds."""

from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.drawing.colors import person_color

if TYPE_CHECKING:
    from everypose.people import People

WIDTH_SHARE = 0.004
"""Width of a trail, as a share of the longer side of the image."""
FRACTION_BITS = 4


class Trails:
    """Remembers where tracked people stood, and draws it, fading with age.

    >>> trails = Trails(seconds=2.0, palette="vivid")
    """

    def __init__(self, *, seconds: float, palette: str) -> None:
        """Start without any trail.

        Args:
            seconds: length of the trails.
            palette: ``vivid`` or ``colorblind``.
        """
        self._seconds = seconds
        self._palette = palette
        self._places: dict[int, deque[tuple[float, float, float]]] = {}

    def update(self, people: "People", time: float) -> None:
        """Add the people of the next frame; forget what is too old.

        Args:
            people: the people of the frame; without ids nothing is added.
            time: of the frame, in seconds.
        """
        for places in self._places.values():
            while places and places[0][0] < time - self._seconds:
                places.popleft()
        self._places = {identity: places for identity, places in self._places.items() if places}
        if people.ids is None:
            return
        feet = np.column_stack([(people.boxes[:, 0] + people.boxes[:, 2]) / 2, people.boxes[:, 3]])
        for identity, (x, y) in zip(people.ids.tolist(), feet.tolist(), strict=True):
            self._places.setdefault(identity, deque()).append((time, x, y))

    def draw(self, image: Image, time: float) -> None:
        """Draw the trails into an image.

        Args:
            image: (H, W, 3) uint8 RGB, changed in place.
            time: of the frame, in seconds.
        """
        width = max(1, round(WIDTH_SHARE * max(image.shape[:2])))
        for identity, places in self._places.items():
            color = np.array(person_color(identity, self._palette))
            points = np.rint(np.array(places)[:, 1:] * 2**FRACTION_BITS).clip(-(2**28), 2**28).astype(int).tolist()
            for index in range(1, len(points)):
                fresh = 1 - (time - places[index][0]) / self._seconds
                shade = (fresh * color + (1 - fresh) * 128).astype(int).tolist()
                start, end = points[index - 1], points[index]
                cv2.line(
                    image, start, end, shade, max(1, round(width * (0.4 + 0.6 * fresh))), cv2.LINE_AA, FRACTION_BITS
                )
