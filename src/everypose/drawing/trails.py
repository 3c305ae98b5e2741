"""Trails: the path of each tracked person over the last seconds."""

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.drawing.colors import person_color

if TYPE_CHECKING:
    from everypose.people import People

WIDTH_SHARE = 0.004
"""Width of a trail, as a share of the longer side of the image."""
FRACTION_BITS = 4
SHADES = 16
"""A trail fades in this many steps: the places of one step are drawn at once, which takes less time."""
LONGEST_GAP = 0.3
"""A trail does not connect places that are further apart in time (seconds), if there are frames between them."""


class _Place(NamedTuple):
    """Where a person stood: number and time of the frame, pixels, and whether a line leads here from the last place."""

    frame: int
    time: float
    x: float
    y: float
    follows: bool


class Trails:
    """Stores the positions of tracked people and draws them as lines that fade with age.

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
        self._places: dict[int, deque[_Place]] = {}
        self._frame = 0

    def update(self, people: "People", time: float) -> None:
        """Add the people of the next frame; forget what is too old.

        Args:
            people: the people of the frame; without ids nothing is added.
            time: of the frame, in seconds.
        """
        for places in self._places.values():
            while places and places[0].time < time - self._seconds:
                places.popleft()
        self._places = {identity: places for identity, places in self._places.items() if places}
        self._frame += 1
        if people.ids is None:
            return
        feet = np.column_stack([(people.boxes[:, 0] + people.boxes[:, 2]) / 2, people.boxes[:, 3]])
        for identity, (x, y) in zip(people.ids.tolist(), feet.tolist(), strict=True):
            places = self._places.setdefault(identity, deque())
            follows = bool(places) and (places[-1].frame == self._frame - 1 or time - places[-1].time <= LONGEST_GAP)
            places.append(_Place(self._frame, time, x, y, follows))

    def draw(self, image: Image, time: float) -> None:
        """Draw the trails into an image.

        Args:
            image: (H, W, 3) uint8 RGB, changed in place.
            time: of the frame, in seconds.
        """
        width = max(1, round(WIDTH_SHARE * max(image.shape[:2])))
        for identity, places in self._places.items():
            if len(places) < 2:
                continue
            color = np.array(person_color(identity, self._palette))
            _, times, x, y, follows = np.array(places).T
            fixed = np.rint(np.stack([x, y], axis=1) * 2**FRACTION_BITS).clip(-(2**28), 2**28).astype(np.int32)
            # The line from place i to place i + 1 is as fresh as its end; 0 stands for no line.
            steps = np.ceil(SHADES * (1 - (time - times[1:]) / self._seconds)).clip(1, SHADES) * follows[1:]
            changes = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
            for first, end in pairwise(changes):
                fresh = float(steps[first]) / SHADES
                if fresh:
                    shade = (fresh * color + (1 - fresh) * 128).astype(int).tolist()
                    thickness = max(1, round(width * (0.4 + 0.6 * fresh)))
                    line = fixed[None, first : end + 1]
                    cv2.polylines(image, line, False, shade, thickness, cv2.LINE_AA, FRACTION_BITS)
