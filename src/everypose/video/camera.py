"""Cameras of this machine, through OpenCV."""

import time
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.errors import EveryposeError
from everypose.video.live import Connection, LiveFrame


class CameraConnection(Connection):
    """An open camera. Frames have the time at which they were read: cameras give none of their own.

    >>> CameraConnection(number=99)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot open camera 99: it is not connected, another program uses ...
    """

    def __init__(self, number: int) -> None:
        """Open a camera.

        Args:
            number: 0 for the first camera of the system.

        Raises:
            EveryposeError: if there is no such camera, or another program uses it.
        """
        self._number = number
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            self._capture.release()
            raise EveryposeError(
                f"cannot open camera {number}: it is not connected, another program uses it, or you may not use it"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = Fraction(rate).limit_denominator(1001) if 0 < rate < 1000 else None

    def frames(self) -> Iterator[LiveFrame]:
        """Yield frames as they come.

        Raises:
            EveryposeError: if the camera gives no more frames, as when it is unplugged.
        """
        while True:
            read, picture = self._capture.read()
            if not read:
                raise EveryposeError(f"camera {self._number} gives no more frames")
            yield LiveFrame(time.monotonic(), _Picture(picture).to_rgb)

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


class _Picture:
    """A picture of a camera, blue first, as OpenCV gives it."""

    def __init__(self, picture: Image) -> None:
        self._picture = picture

    def to_rgb(self) -> Image:
        """Convert to RGB; gray cameras give one channel."""
        code = cv2.COLOR_GRAY2RGB if self._picture.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(self._picture, code), np.uint8)
