"""Opening videos: files, numbered frames, cameras and network streams."""

from collections.abc import Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path

from everypose.data.discovery.search import files_of, is_camera, is_stream
from everypose.data.discovery.walk import Skipped
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.web_images import is_web_address, without_password
from everypose.errors import UsageError
from everypose.video.camera import CameraConnection
from everypose.video.file import VideoFile, open_container
from everypose.video.frames import VideoSource
from everypose.video.live import LiveSource
from everypose.video.network import StreamConnection
from everypose.video.numbered import DEFAULT_RATE, NumberedFrames
from everypose.video.selection import Selection


def open_video(
    source: int | str | PathLike[str] | Sequence[Path],
    *,
    selection: Selection | None = None,
    frame_rate: float | Fraction = DEFAULT_RATE,
) -> VideoSource:
    """Open a video file, numbered frames, a camera or a network stream.

    >>> with open_video("clip.mp4", selection=Selection(start=0.1)) as video:
    ...     [frame.time for frame in video]
    [0.1, 0.2]

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
    if is_stream(address) or (is_web_address(address) and not _has_length(address)):
        return LiveSource(without_password(address), lambda: StreamConnection(address), selection=selection)
    if is_web_address(address):
        return VideoFile(address, selection)
    if Path(source).is_file():
        return VideoFile(source, selection)
    skipped: list[Skipped] = []
    paths = files_of(address, None, skipped, IMAGE_SUFFIXES)
    if not paths and skipped:
        raise UsageError(skipped[0].reason)
    return NumberedFrames(paths, address, rate=frame_rate, selection=selection)


def _has_length(address: str) -> bool:
    """Whether a web address is a video of known length, and not a live stream."""
    with open_container(address) as container:
        return container.duration is not None
