"""The segments of the videos of a bulk run, found once and recorded for all shards."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from everypose.bulk.addresses import is_address, name_of, open_address, size_of_address
from everypose.core.files import read_json, write_json
from everypose.core.settings import Settings
from everypose.errors import EveryposeError

if TYPE_CHECKING:
    from everypose.video.segments import Segment

SEGMENT_SECONDS = 60.0
"""Shortest segment; a segment is what a killed shard processes again. It ends at the next key frame."""
FOLDER = "videos"


@dataclass(frozen=True)
class Clip:
    """A segment of a video, which one shard processes.

    >>> from everypose.video.segments import Segment
    >>> Clip("a.mp4", "a.mp4", Segment(first=1800, end=3600)).key
    'a.mp4#frames=1800-3599'

    Attributes:
        video: the video's name in tables.
        place: its path or address.
        segment: the frames; an error if the video cannot be read.
    """

    video: str
    place: str
    segment: "Segment | EveryposeError"

    @property
    def key(self) -> str:
        """Its name in records: the video, and the range of frames."""
        if isinstance(self.segment, EveryposeError):
            return self.video
        end = "" if self.segment.end is None else self.segment.end - 1
        return f"{self.video}#frames={self.segment.first}-{end}"

    @property
    def name(self) -> str:
        """What messages call the video: its path, or its address without a password."""
        return name_of(self.place) if is_address(self.place) else self.place

    @property
    def opener(self) -> Callable[[], BinaryIO] | None:
        """Opens the video in an object store; None for a file."""
        return partial(open_address, self.place) if is_address(self.place) else None


class _SegmentRecord(Settings):
    """A segment in a file; fields as of `Segment`."""

    first: int
    end: int | None
    key_frame: int | None
    start: int | None
    stop: int | None
    packets: int


class _VideoRecord(Settings):
    """The segments of a video in a file.

    Attributes:
        video: the video's name in tables.
        size: its bytes.
        seconds: least length of a segment.
        segments: the segments.
    """

    video: str
    size: int
    seconds: float
    segments: list[_SegmentRecord]


def clips_of(video: str, place: str, *, out: Path, seconds: float = SEGMENT_SECONDS) -> list[Clip]:
    """Return the segments of a video from the record in the output folder; find and record them if there is none.

    All shards use the same record, so that their segments agree and each video's packets are read once.

    Args:
        video: the video's name in tables.
        place: its path or address.
        out: the output folder of all shards.
        seconds: least length of a segment.

    Returns:
        The segments; a single one with the problem if the video cannot be read.

    >>> [clip.key for clip in clips_of("clip.mp4", "clip.mp4", out=Path("poses"))]
    ['clip.mp4#frames=0-']
    """
    from everypose.video.segments import Segment, find_segments

    file = out / FOLDER / f"{hashlib.sha256(video.encode()).hexdigest()[:24]}.json"
    try:
        size = size_of_address(place) if is_address(place) else Path(place).stat().st_size
        record = _read(file)
        is_current = record is not None and (record.size, record.seconds) == (size, seconds)
        whole = Clip(video, place, Segment())
        segments = [] if is_current else find_segments(whole.name, seconds, opener=whole.opener)
    except OSError as error:
        return [Clip(video, place, EveryposeError(f"cannot read the video {place}: {error.strerror or error}"))]
    except EveryposeError as error:
        return [Clip(video, place, error)]
    if record is None or not is_current:
        found = [_SegmentRecord(**asdict(segment)) for segment in segments]
        record = _VideoRecord(video=video, size=size, seconds=seconds, segments=found)
        write_json(file, record.model_dump())
    return [Clip(video, place, Segment(**one.model_dump())) for one in record.segments]


def _read(file: Path) -> _VideoRecord | None:
    """Return a record; None if there is none that can be read."""
    if not file.is_file():
        return None
    try:
        return _VideoRecord.model_validate(read_json(file))
    except (ValidationError, EveryposeError):
        return None
