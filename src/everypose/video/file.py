"""Video files: every frame upright, with its exact time, in constant memory."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import av

from everypose.data.web_images import is_web_address, without_password
from everypose.errors import EveryposeError
from everypose.video.conversion import RgbConverter
from everypose.video.decoding import DecodedFrame, Decoder, fraction, one_line_errors, preview
from everypose.video.frames import VideoFrame, VideoSource
from everypose.video.selection import Selection

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Opener = Callable[[], BinaryIO]
"""Opens a file for reading and seeking."""
LOCAL_PROTOCOLS = "file,crypto,data"
"""A local file that is a play list, as of HLS, must not make FFmpeg open network addresses."""
WEB_PROTOCOLS = "http,https,tcp,tls,crypto,data,httpproxy"
"""A play list on the web must not make FFmpeg open local files."""
MOST_PIXELS = 100_000_000
"""Pixels of a frame (300 MB as RGB); FFmpeg refuses to decode larger ones."""
OPEN_SECONDS, READ_SECONDS = 20.0, 20.0
"""How long a web server may take to answer, and to send the next piece."""


class VideoFile(VideoSource):
    """A video of finite length: a file that FFmpeg can read, or one on the web.

    Rotation metadata is applied. Damaged packets are skipped and counted; a truncated file yields the frames that it
    contains. Only the present frame is held, besides those that the decoder itself needs.

    >>> with VideoFile("clip.mp4", Selection(every=2)) as video:
    ...     for frame in video:
    ...         print(frame.index, frame.time, frame.image.shape)
    0 0.0 (48, 64, 3)
    2 0.2 (48, 64, 3)
    """

    def __init__(
        self, path: str | PathLike[str], selection: Selection | None = None, *, opener: Opener | None = None
    ) -> None:
        """Open the file and read its header.

        Args:
            path: a file, or an ``http(s)://`` address.
            selection: the frames to yield; all by default.
            opener: opens the content where FFmpeg cannot, such as in an object store; ``path`` is then its name.

        Raises:
            EveryposeError: if the file is missing, unreadable, no video, or has no video stream.
        """
        self._address = str(path)
        self._opener = opener
        self.name = without_password(self._address) if is_web_address(self._address) else self._address
        self.selection = selection or Selection()
        """The frames that are yielded."""
        self._stopped = False
        self._container = open_container(self._address, opener)
        try:
            self._stream = video_stream(self._container, self.name)
        except EveryposeError:
            self._container.close()
            raise
        self.time_base = fraction(self._stream.time_base) or Fraction(1, 90_000)
        self.frame_rate = rate_of(self._stream)
        self.origin = start_of(self._container, self._stream)
        """Time stamp of the start of the video, in seconds: times of all its streams are relative to it."""
        self.duration = duration_of(self._container, self._stream)
        aspect = fraction(self._stream.sample_aspect_ratio)
        self.pixel_aspect = None if aspect == 1 else aspect

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the selected frames in the order of their times.

        Raises:
            EveryposeError: if the file contains no frame that can be read.
        """
        picker, converter = self.selection.picker(), RgbConverter()
        decoder = Decoder(self._container, self._stream, self.origin, self.frame_rate)
        found = False
        for decoded in self._decoded(decoder):
            found = True
            self.corrupt = decoder.corrupt
            if self._stopped or self.selection.is_past(decoded.time):
                break
            if picker.takes(decoded.time):
                yield VideoFrame(decoded.index, decoded.time, converter.to_rgb(decoded.frame))
        self.corrupt = decoder.corrupt
        if not found:
            raise EveryposeError(f"{self.name} contains no video frame that can be read: it is empty or truncated")

    def _decoded(self, decoder: Decoder) -> Iterator[DecodedFrame]:
        """Decode from the last key frame before the selected start."""
        if self.selection.start > 0:
            with self.open_again() as second:
                start = Fraction(self.selection.start) + self.origin
                before = preview(second, video_stream(second, self.name), start)
            if before is not None:
                decoder.seek(before)
        return decoder.frames()

    def open_again(self) -> "InputContainer":
        """Open the file a second time.

        Raises:
            EveryposeError: if it cannot be opened any more.
        """
        return open_container(self._address, self._opener)

    def stop(self) -> None:
        """End the iteration after the present frame."""
        self._stopped = True

    def close(self) -> None:
        """Close the file."""
        self._stopped = True
        self._container.close()


def open_container(address: str, opener: Opener | None = None) -> "InputContainer":
    """Open a local or web file for reading.

    Args:
        address: path or web address.
        opener: opens the content, if FFmpeg cannot.

    Raises:
        EveryposeError: if it cannot be opened; the message names it.

    Example:
        >>> with open_container("clip.mp4") as container:
        ...     len(container.streams.video)
        1
    """
    is_web = is_web_address(address)
    options = {"protocol_whitelist": WEB_PROTOCOLS if is_web else LOCAL_PROTOCOLS}
    with one_line_errors(f"cannot read the video {without_password(address) if is_web else address}"):
        # The scheme keeps a file called "concat:..." or "http:..." from being taken for a protocol.
        name = address if is_web else f"file:{address}"
        if opener is not None:
            # Without a protocol: a play list must not make FFmpeg open anything else.
            content = {"protocol_whitelist": "data"}
            return av.open(
                opener(), "r", options=content, metadata_errors="ignore", timeout=(OPEN_SECONDS, READ_SECONDS)
            )
        return av.open(name, options=options, metadata_errors="ignore", timeout=(OPEN_SECONDS, READ_SECONDS))


def video_stream(container: "InputContainer", name: str) -> "VideoStream":
    """Return the first video stream that is not a cover picture, set up for decoding in several threads.

    Raises:
        EveryposeError: if there is none.

    Example:
        >>> with open_container("clip.mp4") as container:
        ...     video_stream(container, "clip.mp4").width
        64
    """
    pictures = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & pictures and stream.codec_context is not None:
            stream.thread_type = av.codec.context.ThreadType.AUTO
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            return stream
    raise EveryposeError(f"{name} contains no video stream: it is not a video, or it is damaged")


def rate_of(stream: "VideoStream") -> Fraction | None:
    """Return the average frames a second; None if unknown.

    Example:
        >>> with open_container("clip.mp4") as container:
        ...     rate_of(video_stream(container, "clip.mp4")) is not None
        True
    """
    return fraction(stream.average_rate) or fraction(stream.guessed_rate)


def start_of(container: "InputContainer", stream: "VideoStream") -> Fraction:
    """Return the time stamp at which the earliest stream starts, in seconds: what players call time zero.

    Example:
        >>> with open_container("clip.mp4") as container:
        ...     float(start_of(container, video_stream(container, "clip.mp4")))
        0.0
    """
    unit = fraction(stream.time_base)
    video = None if stream.start_time is None or unit is None else stream.start_time * unit
    earliest: int | None = getattr(container, "start_time", None)  # None for raw streams, against PyAV's types
    if earliest is None:
        return video or Fraction(0)
    start = Fraction(earliest, av.time_base)
    # FFmpeg rounds the container's start to microseconds; the stream's own is exact.
    return video if video is not None and abs(video - start) < Fraction(1, 500_000) else start


def duration_of(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the length in seconds; None if unknown.

    Example:
        >>> with open_container("clip.mp4") as container:
        ...     duration_of(container, video_stream(container, "clip.mp4")) > 0.2
        True
    """
    unit = fraction(stream.time_base)
    if stream.duration and unit:
        return float(stream.duration * unit)
    return container.duration / av.time_base if container.duration else None
