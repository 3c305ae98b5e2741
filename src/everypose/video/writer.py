"""Annotated videos: H.264 with the times, size and audio of the source, playable also if the process is killed."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from everypose.core.arrays import Image
from everypose.errors import EveryposeError
from everypose.video.audio import AudioTracks
from everypose.video.decoding import one_line_errors
from everypose.video.frames import VideoSource
from everypose.video.held_packet import HeldPacket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.packet import Packet
    from av.video.stream import VideoStream

CODEC: Final = "libx264"
QUALITY = {"crf": "20", "preset": "veryfast", "tune": "zerolatency", "motion-est": "dia"}
"""Constant quality. Without delay in the encoder, a killed process loses no frames. A diamond search for motion takes
up to a tenth less time than the preset's hexagons, for files of the same size."""
CONTAINER = {
    # Every frame is a fragment of its own, on the disk at once; the end of the run makes an ordinary file of them.
    # (frag_every_frame would do the same, but moves frames that precede audio.)
    "movflags": "hybrid_fragmented+frag_keyframe+default_base_moof+delay_moov",
    "frag_duration": "1",
    "flush_packets": "1",
    # The unit of the times at which tracks start; milliseconds by default.
    "movie_timescale": "90000",
    # Microseconds for which the video may wait for the audio: a track may end early.
    "max_interleave_delta": "500000",
}
KEY_FRAME_SECONDS = 2
USUAL_RATE = Fraction(30)


class VideoWriter:
    """Writes frames as an MP4 with H.264 video.

    The file has the size of the first frame, with one more row or column if that is odd, which H.264 cannot hold.
    Frames of another size are fitted into it. Times start at 0.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "gray.mp4"
    >>> with VideoWriter(path) as video:
    ...     for number in range(3):
    ...         video.write(np.full((48, 64, 3), 128, np.uint8), number / 10)
    >>> path.stat().st_size > 500
    True
    """

    def __init__(
        self,
        path: Path,
        *,
        time_base: Fraction = Fraction(1, 90_000),
        frame_rate: Fraction | None = None,
        pixel_aspect: Fraction | None = None,
        audio: AudioTracks | None = None,
    ) -> None:
        """Create the file.

        Args:
            path: the ``.mp4`` file; its folder is made if missing, an existing file is replaced.
            time_base: unit of the frames' times, seconds; that of the source keeps its times exact.
            frame_rate: frames a second on average, for the encoder's planning.
            pixel_aspect: width of a pixel relative to its height; square by default.
            audio: audio that is copied.

        Raises:
            EveryposeError: if the file cannot be written.
        """
        self.path = path
        self._time_base = time_base
        self._rate = frame_rate or USUAL_RATE
        self._pixel_aspect = pixel_aspect
        self._audio = audio
        self._last_pts = -1
        self._held = HeldPacket()
        self._reformatter = VideoReformatter()
        with one_line_errors(f"cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(f"file:{path}", "w", format="mp4", options=CONTAINER)
        self._stream: av.VideoStream | None = None

    @classmethod
    def like(cls, path: Path, source: VideoSource, *, audio: AudioTracks | None = None) -> "VideoWriter":
        """Create a file with the times and pixels of a source.

        Raises:
            EveryposeError: if the file cannot be written.
        """
        return cls(
            path,
            time_base=source.time_base,
            frame_rate=source.frame_rate,
            pixel_aspect=source.pixel_aspect,
            audio=audio,
        )

    def write(self, image: Image, time: float) -> None:
        """Encode the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: when it is shown, in seconds, later than the frame before.

        Raises:
            EveryposeError: if the disk is full.
        """
        with one_line_errors(f"cannot write {self.path}"):
            stream = self._stream or self._start(image)
            frame = av.VideoFrame.from_ndarray(_fitted(image, stream.width, stream.height), format="rgb24")
            coded = self._reformatter.reformat(
                frame,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            self._last_pts = max(round(time / self._time_base), self._last_pts + 1)
            coded.pts, coded.time_base = self._last_pts, self._time_base
            if self._audio is not None:
                self._audio.copy(self._container, until=time)
            self._mux(stream.encode(coded))

    def _mux(self, packets: "Sequence[Packet[VideoStream]]") -> None:
        """Write each packet to the file when the next packet's timestamp has determined its duration."""
        for packet in packets:
            self._held.exchange(packet, self._container)

    def close(self, *, rest_of_audio: bool = False) -> None:
        """Finish the file.

        Args:
            rest_of_audio: also copy the audio after the last frame.

        Raises:
            EveryposeError: if the disk is full.
        """
        with one_line_errors(f"cannot write {self.path}"):
            try:
                if self._stream is not None:
                    self._mux(self._stream.encode())
                    self._held.release(self._container)
                    if self._audio is not None:
                        self._audio.finish(self._container, rest=rest_of_audio)
            finally:
                self._container.close()
                if self._audio is not None:
                    self._audio.close()

    def _start(self, image: Image) -> "av.VideoStream":
        """Add the streams, with the size of the first frame."""
        if CODEC not in av.codecs_available:
            raise EveryposeError(f"cannot write {self.path}: this PyAV was built without the H.264 encoder {CODEC}")
        height, width = image.shape[:2]
        stream = self._container.add_stream(CODEC, rate=self._rate, options=QUALITY)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        stream.codec_context.gop_size = max(1, round(KEY_FRAME_SECONDS * self._rate))
        stream.codec_context.color_range = ColorRange.MPEG
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, Colorspace.ITU709)
        if self._pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = self._pixel_aspect
        if self._audio is not None:
            self._audio.add_to(self._container)
        self._stream = stream
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _fitted(image: Image, width: int, height: int) -> Image:
    """Return the image in the size of the video: one odd row or column is repeated; other sizes get black margins."""
    own_height, own_width = image.shape[:2]
    right, bottom = width - own_width, height - own_height
    if (right, bottom) == (0, 0):
        return image
    if right in (0, 1) and bottom in (0, 1):
        return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    factor = min(width / own_width, height / own_height)
    size = max(1, round(own_width * factor)), max(1, round(own_height * factor))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    canvas[top : top + size[1], left : left + size[0]] = resized
    return canvas
