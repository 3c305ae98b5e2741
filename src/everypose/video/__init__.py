"""Videos in and out: files, numbered frames, cameras and network streams; annotated videos.

`open_video` opens any of them as a `VideoSource`, which yields a `VideoFrame` for each frame. `FrameStream` adds the
people, `VideoWriter` writes annotated frames. Needs ``pip install 'everypose[video]'``; importing this package without
it raises `everypose.errors.MissingDependencyError`.
"""

from everypose.errors import MissingDependencyError

try:
    import av as _av  # noqa: F401  # the modules below import it freely
except ImportError as error:
    raise MissingDependencyError("reading and writing videos", "video") from error

from everypose.video.frames import Frame, VideoFrame, VideoSource
from everypose.video.opening import open_video
from everypose.video.selection import Selection
from everypose.video.stream import FrameStream, PeopleFilter, stream_video
from everypose.video.writer import VideoWriter

__all__ = [
    "Frame",
    "FrameStream",
    "PeopleFilter",
    "Selection",
    "VideoFrame",
    "VideoSource",
    "VideoWriter",
    "open_video",
    "stream_video",
]
