"""The JSON files of a bulk run: a manifest for each shard and a record for each of its Parquet parts."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from everypose.bulk.shards import MOST_SHARDS
from everypose.core.files import read_json
from everypose.core.settings import Settings
from everypose.core.validation import validated

MANIFEST = "manifest.json"


class Manifest(Settings):
    """The images and the model of a shard.

    >>> Manifest(index=0, count=4, model={"model": "boir-lite"}, sources_sha256="").finished
    False

    Attributes:
        index: number of the shard, from 0.
        count: number of shards.
        model: name of the model, its SHA-256 and the options that determine the results.
        sources_sha256: hash of the sorted names of the shard's image files, archives and segments of videos, one a
            line.
        items: number of images and segments; None until archives have been read to their end.
        items_sha256: hash of the sorted names of the images and segments, one a line; None if ``items`` is None.
        finished: whether all images and segments are in complete parts.
    """

    index: int = Field(ge=0, lt=MOST_SHARDS)
    count: int = Field(ge=1, le=MOST_SHARDS)
    model: dict[str, str]
    sources_sha256: str
    items: int | None = None
    items_sha256: str | None = None
    finished: bool = False


class SegmentRecord(Settings):
    """The record of a segment of a video; people are identified by frame and position in the part's table.

    >>> SegmentRecord(video="a.mp4", first=0, end=30, frames=30, corrupt=0).tracks
    {}

    Attributes:
        video: the video's name in tables.
        first: number of the segment's first frame.
        end: number of the frame after its last one; None for the rest of the video.
        frames: frames that were processed.
        corrupt: damaged packets and frames that were skipped.
        tracks: the track for each provisional ``track_id`` of the part's rows; ids with too little evidence are not
            listed. Empty without tracking.
        begin: (frame, person, ``track_id``) in the segment's first frames.
        after: (frame, person, ``track_id``) in the first frames of the next segment, which this one was tracked into.
    """

    video: str
    first: int
    end: int | None
    frames: int
    corrupt: int
    tracks: dict[int, int] = Field(default_factory=dict)
    begin: list[tuple[int, int, int]] = Field(default_factory=list)
    after: list[tuple[int, int, int]] = Field(default_factory=list)


class PartRecord(Settings):
    """The record of a complete part; a Parquet file without a record is incomplete.

    >>> PartRecord(items=["a.jpg"], failed={"b.jpg": "it is empty"}, rows=17, sha256="").processed
    ('a.jpg', 'b.jpg')

    Attributes:
        items: images that were processed; images without people have no rows.
        failed: images that could not be read, with the reason.
        rows: number of rows.
        sha256: of the Parquet file.
        seconds: wall-clock time of the part.
        peak_mb: largest resident memory of the process so far, in MB; 0 where the system does not measure it.
        segment: the segment of a video that the rows belong to; None for images.
    """

    items: list[str]
    failed: dict[str, str]
    rows: int
    sha256: str
    seconds: float = 0.0
    peak_mb: float = 0.0
    segment: SegmentRecord | None = None

    @property
    def processed(self) -> Iterable[str]:
        """All its images, including failed ones."""
        return (*self.items, *self.failed)


def digest(keys: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted keys, one a line.

    >>> digest(["b", "a"]) == digest(["a", "b"])
    True
    """
    return hashlib.sha256("\n".join(sorted(keys)).encode("utf-8", "surrogateescape")).hexdigest()


def keys_of(parts: Mapping[Path, PartRecord]) -> set[str]:
    """Return the images of complete parts, including failed ones.

    >>> keys_of({Path("part-000000.parquet"): PartRecord(items=["a.jpg"], failed={}, rows=0, sha256="")})
    {'a.jpg'}
    """
    return {key for record in parts.values() for key in record.processed}


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a shard.

    Raises:
        EveryposeError: if it is missing or damaged.

    >>> from everypose.core.files import write_json
    >>> write_json(Path(MANIFEST), Manifest(index=3, count=4, model={}, sources_sha256="").model_dump())
    >>> read_manifest(Path()).index
    3
    """
    path = folder / MANIFEST
    return validated(Manifest, read_json(path), f"{path} is not a manifest of a bulk run")


def read_parts(folder: Path) -> dict[Path, PartRecord]:
    """Read the records of a shard's complete parts, by the Parquet file's path.

    Raises:
        EveryposeError: if a record is damaged.

    >>> from everypose.core.files import write_json
    >>> part = PartRecord(items=["a.jpg"], failed={"b.jpg": "it is empty"}, rows=17, sha256="")
    >>> write_json(Path("part-000000.json"), part.model_dump())
    >>> [(path.name, record.rows) for path, record in read_parts(Path()).items()]
    [('part-000000.parquet', 17)]
    """
    parts = {}
    for path in sorted(folder.glob(f"part-{6 * '[0-9]'}.json")):
        label = f"{path} is not a record of a part (remove it, and run the shard again)"
        parts[path.with_suffix(".parquet")] = validated(PartRecord, read_json(path), label)
    return parts
