"""Frames of videos, and the base of all video sources."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

from everypose.core.arrays import Image
from everypose.people import People


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video.

    Attributes:
        index: number of the frame in the video, from 0. Skipped frames count, so that indices may have gaps.
        time: when it is shown, in seconds from the start of the video; live sources: from the first frame.
        image: (H, W, 3) uint8 RGB, upright.

    Example:
        >>> import numpy as np
        >>> VideoFrame(index=3, time=0.1, image=np.zeros((48, 64, 3), np.uint8)).time
        0.1
    """

    index: int
    time: float
    image: Image


@dataclass(frozen=True)
class Frame:
    """One frame of a video and the people in it.

    Attributes:
        index: number of the frame in the video, from 0.
        time: when it is shown, in seconds from the start of the video; live sources: from the first frame.
        image: (H, W, 3) uint8 RGB, upright.
        people: the people in image pixels, with ``people.ids`` when they are tracked.
        raw: the same people before smoothing; None without smoothing.

    Example:
        >>> import numpy as np
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> people = People.empty(Skeleton.named("coco"))
        >>> len(Frame(index=3, time=0.1, image=np.zeros((48, 64, 3), np.uint8), people=people).people)
        0
    """

    index: int
    time: float
    image: Image
    people: People
    raw: People | None = None


class VideoSource(ABC):
    """A source of frames: iterate over it once, then close it; a ``with`` block closes it by itself.

    Attributes:
        name: what messages and tables call it: the path or address (without a password), or ``camera 0``.
        is_live: whether frames come in real time, so that the newest one is processed and others are skipped.
        time_base: the unit of the frames' times; every time is a whole multiple of it.
        frame_rate: frames a second on average; None if unknown.
        pixel_aspect: width of a pixel relative to its height; None for square pixels.
        duration: length in seconds; None if unknown, as for live sources.
        corrupt: packets and frames that were damaged, and skipped, so far.
        skipped: number of frames of a live source that were replaced by newer ones before they were processed.
        reconnections: number of times that a live source was lost and opened again.

    Example:
        >>> from everypose.video import open_video
        >>> with open_video("clip.mp4") as source:
        ...     [round(frame.time, 2) for frame in source]
        [0.0, 0.1, 0.2]
    """

    name: str
    is_live: bool = False
    time_base: Fraction = Fraction(1, 90_000)
    frame_rate: Fraction | None = None
    pixel_aspect: Fraction | None = None
    duration: float | None = None
    corrupt: int = 0
    skipped: int = 0
    reconnections: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the selected frames in the order of their times.

        Raises:
            EveryposeError: if the source contains no frame that can be read, or a live source is lost.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the iteration after the present frame. May be called from any thread and from signal handlers."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and release the file, camera or connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
