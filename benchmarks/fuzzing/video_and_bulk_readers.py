"""The readers of videos, and of the archives and records of bulk runs."""

import functools
import io
import tarfile
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.mutations import mutate_bytes
from benchmarks.fuzzing.seeds import SIDE, encoded, photo
from benchmarks.fuzzing.target import Target
from benchmarks.fuzzing.watching import put

CODECS = {
    ".mp4": "libx264",
    ".avi": "mjpeg",
    ".mkv": "mpeg4",
    ".webm": "libvpx",
    ".mov": "libx264",
    ".ts": "mpeg2video",
}
"""Kinds of video files, and the encoder of each."""


@functools.cache
def clip(suffix: str, frames: int = 4) -> bytes:
    """A short video of the photo, moving to the right."""
    import av
    from av.video.stream import VideoStream

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix}"
        with av.open(str(path), "w") as output:
            stream = output.add_stream(CODECS[suffix], rate=Fraction(25 if suffix == ".ts" else 10))
            assert isinstance(stream, VideoStream)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuvj420p" if suffix == ".avi" else "yuv420p"
            for number in range(frames):
                pixels = np.roll(photo(), number, axis=1)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
            output.mux(stream.encode())
        return path.read_bytes()


@functools.cache
def tar(compression: str = "") -> bytes:
    """A tar of two images and a text file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in (("a.jpg", encoded(".jpg")), ("a.json", b"{}"), ("b/b.png", encoded(".png"))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@functools.cache
def image_table(kind: str) -> bytes:
    """A Parquet table of images: their bytes, or their paths."""
    import pyarrow
    from pyarrow import parquet

    cells = [encoded(".jpg"), encoded(".png")] if kind == "bytes" else ["1.jpg", "2.jpg"]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({"path" if kind == "paths" else "jpg": cells, "width": [SIDE, SIDE]}), buffer)
    return buffer.getvalue()


def video_targets() -> list[Target]:
    """Every kind of video file, decoded to its end; and its segments."""
    from everypose.video import Selection, open_video
    from everypose.video.segments import find_segments

    def read(suffix: str) -> Callable[[bytes, Path], None]:
        def decode(content: bytes, folder: Path) -> None:
            path = put(folder / f"clip{suffix}", content)
            with open_video(path, selection=Selection(every=2)) as video:
                for frame in video:
                    assert frame.image.dtype == np.uint8

        return decode

    def segments(content: bytes, folder: Path) -> None:
        find_segments(str(put(folder / "clip.mp4", content)), 0.1)

    decoded = [Target(f"video {suffix}", (clip(suffix),), mutate_bytes, read(suffix)) for suffix in CODECS]
    return [*decoded, Target("video segments", (clip(".mp4"), clip(".mkv")), mutate_bytes, segments)]


def archive_targets() -> list[Target]:
    """Tars and Parquet tables of bulk runs."""
    from everypose.bulk.items import read_item
    from everypose.bulk.sources.found import Archive
    from everypose.errors import EveryposeError

    def images_of(name: str) -> Callable[[bytes, Path], None]:
        def read(content: bytes, folder: Path) -> None:
            put(folder / "1.jpg", encoded(".jpg"))
            put(folder / "2.jpg", encoded(".jpg"))
            problem: EveryposeError | None = None
            for item in Archive(name, str(put(folder / name, content))).items():
                try:
                    read_item(item)
                except EveryposeError as error:
                    problem = problem or error
            if problem is not None:
                raise problem

        return read

    return [
        Target("bulk tar", (tar(),), mutate_bytes, images_of("a.tar")),
        Target("bulk tar.gz", (tar("gz"),), mutate_bytes, images_of("a.tar.gz")),
        Target("bulk tar.xz", (tar("xz"),), mutate_bytes, images_of("a.tar.xz")),
        Target("bulk Parquet", (image_table("bytes"),), mutate_bytes, images_of("a.parquet")),
        Target("bulk Parquet of paths", (image_table("paths"),), mutate_bytes, images_of("b.parquet")),
    ]
