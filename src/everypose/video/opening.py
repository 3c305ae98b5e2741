"""From what the user names to a video source."""

from collections.abc import Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path

from everypose.inference.inputs import find_images
from everypose.video.camera import CameraConnection
from everypose.video.file import VideoFile, open_container
from everypose.video.frames import VideoSource
from everypose.video.live import LiveSource
from everypose.video.network import RTSP_SCHEMES, StreamConnection, without_password
from everypose.video.numbered import DEFAULT_RATE, NumberedFrames
from everypose.video.selection import Selection


def open_video(
    source: int | str | PathLike[str] | Sequence[Path],
    *,
    selection: Selection | None = None,
    frame_rate: float | Fraction = DEFAULT_RATE,
) -> VideoSource:
    """Open a video file, numbered frames, a camera or a network stream.

    >>> with open_video("clip.mp4", selection=Selection(start=10, end=20)) as video:  # doctest: +SKIP
    ...     times = [frame.time for frame in video]

    Args:
        source: the path of a video; the number of a camera (0, or "0" if no file is called so); an ``rtsp://`` or
            ``http(s)://`` address; a folder or glob of numbered images, or a list of image files.
        selection: the frames to yield; all by default.
        frame_rate: frames a second of numbered images; other sources have their own.

    Raises:
        EveryposeError: if the source cannot be opened or contains no video.
        UsageError: if there is no such file, or a folder contains no images.
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        return NumberedFrames(
            source, str(source[0].parent) if source else "the list", rate=frame_rate, selection=selection
        )
    if isinstance(source, int) or is_camera(str(source)):
        number = int(str(source))
        return LiveSource(f"camera {number}", lambda: CameraConnection(number), selection=selection)
    address = str(source)
    if is_address(address):
        if address.startswith(tuple(f"{scheme}://" for scheme in RTSP_SCHEMES)) or not _has_length(address):
            return LiveSource(without_password(address), lambda: StreamConnection(address), selection=selection)
        return VideoFile(address, selection)
    if Path(source).is_file():
        return VideoFile(source, selection)
    paths = [found.path for found in find_images([address])]
    return NumberedFrames(paths, address, rate=frame_rate, selection=selection)


def is_camera(source: str) -> bool:
    """Whether a source is the number of a camera, and not a file of that name.

    >>> is_camera("0"), is_camera("clip.mp4")
    (True, False)
    """
    return source.isdecimal() and not Path(source).exists()


def is_address(source: str) -> bool:
    """Whether a source is a network address.

    >>> is_address("rtsp://camera.local/1"), is_address("clip.mp4")
    (True, False)
    """
    return source.startswith(("http://", "https://", *(f"{scheme}://" for scheme in RTSP_SCHEMES)))


def _has_length(address: str) -> bool:
    """Whether a web address is a video of known length, and not a live stream."""
    with open_container(address) as container:
        return container.duration is not None
