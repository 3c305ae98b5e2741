"""The people in the frames of a video, one frame after the other."""

from collections.abc import Generator, Iterator
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from everypose.core.arrays import Image
from everypose.errors import UsageError
from everypose.people import People
from everypose.tracking.smoothing.one_euro import LiveSmoother
from everypose.tracking.tracker import Tracker
from everypose.video.frames import Frame, VideoFrame, VideoSource
from everypose.video.threads import in_thread

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator, Prepared

FRAMES_AHEAD = 2
"""Frames that are decoded in advance, besides those of the present batch."""


class PeopleFilter(Protocol):
    """Changes the people of a frame by those of the frames before: a tracker, a smoother.

    Example:
        >>> class Best:
        ...     def update(self, people, time, *, image=None):
        ...         return people[:1]
    """

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

    One thread decodes and resizes the next frames meanwhile, another runs the network; only a few frames are held. Live
    sources give the newest frame each time.

    >>> from everypose import load
    >>> from everypose.video import open_video
    >>> with FrameStream(load("boir-lite", threads=1), open_video("clip.mp4")) as frames:
    ...     [len(frame.people) for frame in frames]
    [0, 0, 0]

    Attributes:
        source: the video; its ``corrupt`` and ``skipped`` count damaged and skipped frames.
    """

    def __init__(
        self,
        estimator: "Estimator",
        source: VideoSource,
        *,
        tracker: PeopleFilter | None = None,
        smoother: PeopleFilter | None = None,
    ) -> None:
        """Start with the first frame.

        Args:
            estimator: finds the people.
            source: the frames; the stream closes it.
            tracker: gives people their identities.
            smoother: smooths the keypoints of tracked people.
        """
        self.source = source
        # No reference to the stream: one that the user drops is closed at once.
        self._frames = _frames_of(estimator, source, tracker, smoother)

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


def _frames_of(
    estimator: "Estimator", source: VideoSource, tracker: PeopleFilter | None, smoother: PeopleFilter | None
) -> Generator[Frame]:
    """Yield the frames of a source with their people; the source is closed at the end."""
    prepared: Generator[tuple[VideoFrame, Prepared]] = ((frame, estimator.prepare(frame.image)) for frame in source)
    # A live source is not read ahead: frames that wait grow old.
    if source.is_live:
        found = _predicted_at_once(estimator, prepared)
    else:
        size = estimator.batch_size
        prepared = in_thread(prepared, ahead=size - 1 + FRAMES_AHEAD, stop=source.stop)
        # The network does not wait for tracking, which follows in the thread of the consumer.
        found = estimator.predict_batches(_batches(prepared, size))
    try:
        for frame, people in found:
            yield _followed(frame, people, tracker, smoother)
            del frame, people
    finally:
        found.close()
        prepared.close()
        source.close()


def _predicted_at_once(
    estimator: "Estimator", prepared: "Generator[tuple[VideoFrame, Prepared]]"
) -> Generator[tuple[VideoFrame, People]]:
    """Yield each frame with the people that the network finds in it, before the next frame is taken."""
    for frame, each in prepared:
        people = estimator.predict([each])[0]
        del each
        yield frame, people
        del frame, people


def _batches(
    prepared: "Generator[tuple[VideoFrame, Prepared]]", size: int
) -> "Generator[list[tuple[VideoFrame, Prepared]]]":
    """Yield lists of ``size`` frames; fewer at the end."""
    while batch := list(islice(prepared, size)):
        yield batch


def _followed(frame: VideoFrame, people: People, tracker: PeopleFilter | None, smoother: PeopleFilter | None) -> Frame:
    """Track and smooth a frame's people."""
    if tracker is not None:
        people = tracker.update(people, frame.time, image=frame.image)
    if smoother is None:
        return Frame(frame.index, frame.time, frame.image, people)
    smooth = smoother.update(people, frame.time, image=frame.image)
    return Frame(frame.index, frame.time, frame.image, smooth, raw=people)


def stream_video(
    estimator: "Estimator", source: VideoSource, *, track: bool | PeopleFilter, smooth: bool | PeopleFilter
) -> FrameStream:
    """Return the frames of a video with their people, tracked and smoothed as wanted.

    Args:
        estimator: finds the people.
        source: the frames; the stream closes it.
        track: whether people get identities, or the tracker that gives them.
        smooth: whether keypoints are smoothed, or the smoother.

    Raises:
        UsageError: if people are to be smoothed and not tracked.

    >>> from everypose import load
    >>> from everypose.video import open_video
    >>> with stream_video(load("boir-lite", threads=1), open_video("clip.mp4"), track=True, smooth=True) as frames:
    ...     [(frame.index, len(frame.people)) for frame in frames]
    [(0, 0), (1, 0), (2, 0)]
    """
    if smooth and not track:
        raise UsageError("smoothing follows each person from frame to frame: people must be tracked, too")
    tracker = Tracker(estimator.skeleton) if track is True else track or None
    smoother = LiveSmoother() if smooth is True else smooth or None
    return FrameStream(estimator, source, tracker=tracker, smoother=smoother)
