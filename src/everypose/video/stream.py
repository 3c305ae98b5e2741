"""The people in the frames of a video, one frame after the other."""

from collections.abc import Generator, Iterator
from itertools import islice
from types import TracebackType
from typing import Protocol, Self

from everypose.core.arrays import Image
from everypose.inference.estimator import Estimator, Prepared
from everypose.people import People
from everypose.video.frames import Frame, VideoFrame, VideoSource
from everypose.video.threads import in_thread

FRAMES_AHEAD = 2
"""Frames that are decoded in advance, besides those of the present batch."""


class PeopleFilter(Protocol):
    """Changes the people of a frame by those of the frames before: a tracker, a smoother."""

    def update(self, people: People, time: float, *, image: Image | None = None) -> People:
        """Return the people of the next frame.

        Args:
            people: the people of the frame.
            time: of the frame, in seconds.
            image: (H, W, 3) uint8 RGB.
        """
        ...


class FrameStream(Iterator[Frame]):
    """Iterates over the frames of a video with their people.

    A thread decodes and resizes the next frames meanwhile; only a few frames are held. Live sources give the newest
    frame each time.

    >>> from everypose import load
    >>> from everypose.video import open_video
    >>> with FrameStream(load("boir-lite"), open_video("clip.mp4")) as frames:  # doctest: +SKIP
    ...     counts = [len(frame.people) for frame in frames]

    Attributes:
        source: the video; its ``corrupt`` and ``skipped`` count damaged and skipped frames.
    """

    def __init__(self, estimator: Estimator, source: VideoSource, *filters: PeopleFilter) -> None:
        """Start with the first frame.

        Args:
            estimator: finds the people.
            source: the frames; the stream closes it.
            *filters: what each frame's people go through, such as a tracker and a smoother.
        """
        self.source = source
        self._estimator = estimator
        self._filters = filters
        self._frames = self._run()

    def __next__(self) -> Frame:
        """Return the next frame with its people."""
        return next(self._frames)

    def close(self) -> None:
        """Stop, and close the source."""
        self.source.stop()
        self._frames.close()
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> Generator[Frame]:
        """Yield the frames; the source is closed at the end."""
        # The thread must not hold the stream, so that one that the user drops is closed.
        estimator, source = self._estimator, self.source
        prepared: Generator[tuple[VideoFrame, Prepared]] = ((frame, estimator.prepare(frame.image)) for frame in source)
        size = 1
        # A live source is not read ahead: frames that wait grow old.
        if not source.is_live:
            size = estimator.batch_size
            prepared = in_thread(prepared, ahead=size - 1 + FRAMES_AHEAD, stop=source.stop)
        try:
            while batch := list(islice(prepared, size)):
                found = estimator.predict([each for _, each in batch])
                for (frame, _), people in zip(batch, found, strict=True):
                    yield Frame(frame.index, frame.time, frame.image, self._filtered(people, frame))
                del batch, found, frame, people
        finally:
            prepared.close()
            source.close()

    def _filtered(self, people: People, frame: VideoFrame) -> People:
        """Send a frame's people through the tracker and the smoother."""
        for each in self._filters:
            people = each.update(people, frame.time, image=frame.image)
        return people
