"""Network streams, RTSP and HTTP, through FFmpeg."""

import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import av

from everypose.data.discovery.search import is_stream
from everypose.data.web_images import without_password
from everypose.errors import EveryposeError
from everypose.video.conversion import RgbConverter
from everypose.video.decoding import Decoder, one_line_errors
from everypose.video.file import WEB_PROTOCOLS, rate_of, video_stream
from everypose.video.live import Connection, LiveFrame

OPEN_SECONDS, READ_SECONDS = 10.0, 5.0
"""How long a stream may take to answer, and be silent."""
RTSP_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto,data"
NO_TIMES = ("mpjpeg",)
"""Formats without time stamps: the time at which a frame comes is taken."""


class StreamConnection(Connection):
    """An open network stream.

    >>> StreamConnection("rtsp://127.0.0.1:9/no-camera")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot open the stream rtsp://127.0.0.1:9/no-camera: Connection refused
    """

    def __init__(self, address: str) -> None:
        """Connect to a stream.

        Args:
            address: ``rtsp://``, ``rtsps://``, ``http://`` or ``https://``, with user and password where needed.

        Raises:
            EveryposeError: if the stream cannot be opened or has no video.
        """
        self._name = without_password(address)
        self._container = open_stream(address)
        try:
            self._stream = video_stream(self._container, self._name)
        except EveryposeError:
            self._container.close()
            raise
        # Threads that decode several frames at once would give each frame some frames late.
        self._stream.thread_type = av.codec.context.ThreadType.SLICE
        self.frame_rate = rate_of(self._stream)

    def frames(self) -> Iterator[LiveFrame]:
        """Yield frames as they come, until the stream ends or is silent for `READ_SECONDS`.

        Raises:
            EveryposeError: if the stream breaks.
        """
        converter = RgbConverter()
        arrival = self._container.format.name in NO_TIMES
        decoder = Decoder(self._container, self._stream, Fraction(0), self.frame_rate, read_errors=0)
        for decoded in decoder.frames():
            self.corrupt = decoder.corrupt
            yield LiveFrame(time.monotonic() if arrival else decoded.time, partial(converter.to_rgb, decoded.frame))
        self.corrupt = decoder.corrupt
        if decoder.problem:
            raise EveryposeError(f"{self._name}: {decoder.problem}")

    def close(self) -> None:
        """Close the connection."""
        self._container.close()


def open_stream(address: str) -> "av.container.InputContainer":
    """Connect to an RTSP or HTTP address.

    Raises:
        EveryposeError: if that fails; the message names the address without its password.

    >>> open_stream("http://user:secret@127.0.0.1:9/no-stream")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot open the stream http://127.0.0.1:9/no-stream: Connection refused
    """
    options = {"protocol_whitelist": WEB_PROTOCOLS}
    if is_stream(address):
        # Over TCP no packet is lost or reordered, and it passes through firewalls.
        options = {"protocol_whitelist": RTSP_PROTOCOLS, "rtsp_transport": "tcp"}
    with one_line_errors(f"cannot open the stream {without_password(address)}"):
        return av.open(
            address,
            options=options | {"fflags": "nobuffer", "flags": "low_delay"},
            metadata_errors="ignore",
            timeout=(OPEN_SECONDS, READ_SECONDS),
        )
