"""Packets to frames with exact times: damaged packets are skipped, times never go back, seeking keeps the indices."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av

from everypose.errors import EveryposeError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

UNKNOWN_RATE = Fraction(25)
"""Frames a second where neither the frames nor the file have times, as FFmpeg assumes."""
MOST_READ_ERRORS = 20
"""After more read errors in a row the rest of a file is given up."""


@dataclass(frozen=True)
class DecodedFrame:
    """A frame as FFmpeg decoded it.

    Attributes:
        index: number of the frame in the video, from 0.
        time: when it is shown, in seconds from the start of the video.
        frame: the picture, in its own pixel format, not yet turned.

    >>> DecodedFrame(index=3, time=0.1, frame=av.VideoFrame(64, 48, "yuv420p")).frame.width
    64
    """

    index: int
    time: float
    frame: av.VideoFrame


class _Rational(Protocol):
    """A rational number of PyAV."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


class Timeline:
    """Turns time stamps into strictly rising times.

    Where time stamps are missing, go back or repeat (joined recordings, raw streams), the video goes on one frame
    interval after the frame before.

    >>> timeline = Timeline(origin=Fraction(10), interval=Fraction(1, 2))
    >>> [float(timeline.place(stamp)) for stamp in (Fraction(10), Fraction(11), None, Fraction(3), Fraction(4))]
    [0.0, 1.0, 1.5, 2.0, 3.0]
    """

    def __init__(self, origin: Fraction, interval: Fraction) -> None:
        """Start a timeline.

        Args:
            origin: the time stamp of time zero, seconds.
            interval: seconds from frame to frame where time stamps do not say it.
        """
        self._origin = origin
        self._interval = interval
        self._last: Fraction | None = None

    def place(self, stamp: Fraction | None) -> Fraction:
        """Return the time of the next frame, seconds, from its time stamp."""
        if stamp is None:
            time = Fraction(0) if self._last is None else self._last + self._interval
        else:
            time = stamp - self._origin
            if self._last is not None and time <= self._last:
                time = self._last + self._interval
                self._origin = stamp - time
        self._last = time
        return time


class Decoder:
    """Decodes the frames of one video stream.

    Attributes:
        corrupt: damaged packets and frames that were skipped so far.
        problem: why reading ended before the end of the file; empty if it did not.

    >>> with av.open("clip.mp4") as container:
    ...     stream = container.streams.video[0]
    ...     decoder = Decoder(container, stream, origin=Fraction(0), frame_rate=stream.average_rate)
    ...     [(frame.index, round(frame.time, 2)) for frame in decoder.frames()]
    [(0, 0.0), (1, 0.1), (2, 0.2)]
    """

    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        origin: Fraction,
        frame_rate: Fraction | None,
        *,
        read_errors: int = MOST_READ_ERRORS,
    ) -> None:
        """Prepare to decode from the first frame.

        Args:
            container: the open file.
            stream: its video stream.
            origin: time stamp of time zero, in seconds.
            frame_rate: average frames a second, where time stamps are missing.
            read_errors: after more read errors in a row the rest is given up.
        """
        self.corrupt = 0
        self.problem = ""
        self._read_errors = read_errors
        self._container = container
        self._stream = stream
        self._origin = origin
        self._timeline = Timeline(origin, 1 / (frame_rate or UNKNOWN_RATE))
        self._stamps_before_seek: Sequence[int] | None = None

    def frames(self) -> Iterator[DecodedFrame]:
        """Yield the frames in the order in which they are shown."""
        index = 0
        for frame in self._pictures():
            unit = fraction(frame.time_base)
            stamp = None if frame.pts is None or unit is None else frame.pts * unit
            if self._stamps_before_seek is not None:
                index = bisect_left(self._stamps_before_seek, frame.pts or 0)
                self._stamps_before_seek = None
            yield DecodedFrame(index, float(self._timeline.place(stamp)), frame)
            index += 1

    def seek(self, before: "Preview") -> None:
        """Go to a key frame, so that what lies before it need not be decoded; frames keep their indices.

        Raises:
            EveryposeError: if the file can only be read from its start.
        """
        with one_line_errors("cannot go to --start"):
            self._container.seek(before.key_frame, stream=self._stream, backward=True)
        self._stamps_before_seek = before.stamps

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Decode packet by packet; count and skip what is damaged."""
        for packet in self._packets():
            # A marked packet may be whole, as where recordings were joined: the decoder finds out.
            self.corrupt += packet is not None and packet.is_corrupt
            try:
                frames = self._stream.decode(packet)
            except av.error.EOFError:
                return  # already flushed
            except av.error.FFmpegError:
                self.corrupt += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.corrupt += 1
                else:
                    yield frame

    def _packets(self) -> Iterator["Packet[VideoStream] | None"]:
        """Read packet by packet, past damaged places, which are counted; None follows and flushes the decoder."""
        errors = 0
        while errors <= self._read_errors:
            try:
                for packet in self._container.demux(self._stream):
                    errors, self.problem = 0, ""
                    yield packet
            except (av.error.FFmpegError, OSError) as error:
                self.problem = reason(error)
                self.corrupt += errors == 0
                errors += 1
            else:
                break
        yield None


def read_packets(container: "InputContainer", *streams: "Stream") -> Iterator["Packet[Stream]"]:
    """Read the packets of some streams up to the end of the file, or to the first place that is damaged.

    >>> with av.open("clip.mp4") as container:
    ...     sum(packet.size > 0 for packet in read_packets(container, container.streams.video[0]))
    3
    """
    with suppress(av.error.FFmpegError, OSError):
        yield from container.demux(*streams)


@dataclass(frozen=True)
class Preview:
    """What lies before a time of a video, read without decoding.

    Attributes:
        stamps: sorted time stamps of the frames before it, in units of the stream's time base.
        key_frame: decoding time stamp of the last key frame before it.

    >>> Preview(stamps=[0, 512, 1024], key_frame=0).stamps[-1]
    1024
    """

    stamps: Sequence[int]
    key_frame: int


def preview(container: "InputContainer", stream: "VideoStream", time: Fraction) -> Preview | None:
    """Read the packets before a time.

    Args:
        container: the file, opened for this alone.
        stream: its video stream.
        time: a time stamp in seconds.

    Returns:
        None if there is nothing before it, or packets have no time stamps.

    >>> with av.open("clip.mp4") as container:
    ...     before = preview(container, container.streams.video[0], Fraction(1, 5))
    >>> len(before.stamps)  # frames before 0.2 s
    2
    """
    stamps: list[int] = []
    key_frame: int | None = None
    limit = time / (fraction(stream.time_base) or 1)
    for packet in read_packets(container, stream):
        if packet.dts is None or packet.pts is None:
            if packet.size:
                return None
            break
        if packet.dts >= limit:
            break
        if packet.is_keyframe and packet.pts <= limit:
            key_frame = packet.dts
        if not packet.is_discard and packet.pts < limit:
            stamps.append(packet.pts)
    return None if key_frame is None or not stamps else Preview(sorted(stamps), key_frame)


def fraction(number: _Rational | None) -> Fraction | None:
    """Return a rational number of PyAV as a fraction: before PyAV 19 it is one; 0/1 and None, both unknown, are None.

    >>> fraction(Fraction(30000, 1001)), fraction(Fraction(0))
    (Fraction(30000, 1001), None)
    """
    return Fraction(number.numerator, number.denominator) if number is not None and number.numerator else None


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Turn errors of FFmpeg and of the system into an `EveryposeError` that begins with ``what``.

    Example:
        >>> with one_line_errors("cannot open clip.mp4"):
        ...     raise OSError(2, "No such file or directory")
        Traceback (most recent call last):
            ...
        everypose.errors.EveryposeError: cannot open clip.mp4: No such file or directory
    """
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise EveryposeError(f"{what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the reason that FFmpeg or the system gives, without error numbers and file names.

    >>> reason(OSError(2, "No such file or directory", "clip.mp4"))
    'No such file or directory'
    """
    return str(getattr(error, "strerror", None) or error)
