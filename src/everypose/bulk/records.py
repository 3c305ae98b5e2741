"""The JSON files of a bulk run: a manifest for each shard and a record for each of its Parquet parts."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from everypose.core.files import read_json
from everypose.core.settings import Settings
from everypose.errors import EveryposeError

MANIFEST = "manifest.json"


class Manifest(Settings):
    """What a shard shall process, and with which model.

    Attributes:
        index: number of the shard, from 0.
        count: number of shards.
        model: name of the model, its SHA-256 and the options that determine the results.
        sources_sha256: of the sorted names of the image files and archives of the shard, one a line.
        items: number of images; None if archives are not yet read to their end.
        items_sha256: of the sorted names of the images, one a line; None with ``items``.
        finished: whether all images are in parts.
    """

    index: int
    count: int
    model: dict[str, str]
    sources_sha256: str
    items: int | None = None
    items_sha256: str | None = None
    finished: bool = False


class SegmentRecord(Settings):
    """What a part with a segment of a video says about it; people are those of the table, by frame and position.

    Attributes:
        video: the video's name in tables.
        first: number of the segment's first frame.
        end: number of the frame after its last one; None for the rest of the video.
        frames: frames that were processed.
        corrupt: damaged packets and frames that were skipped.
        tracks: track of each ``track_id`` of the part's rows; those that are missing are not sure enough. Empty
            without tracking.
        begin: (frame, person, ``track_id``) of the segment's first frames.
        after: (frame, person, ``track_id``) of the next segment's first frames, if this one had gone on.
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
    """A part that is complete; a Parquet file without a record is not.

    Attributes:
        items: images whose rows it has; those without people have none.
        failed: images that could not be read, with the reason.
        rows: number of rows.
        sha256: of the Parquet file.
        seconds: wall-clock time of the part.
        peak_mb: largest resident memory of the process so far, in MB; 0 where the system does not measure it.
        segment: of the video whose rows the part has; None for images.
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
        """All its images, the failed ones included."""
        return (*self.items, *self.failed)


def digest(keys: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted keys, one a line."""
    return hashlib.sha256("\n".join(sorted(keys)).encode("utf-8", "surrogateescape")).hexdigest()


def keys_of(parts: Mapping[Path, PartRecord]) -> set[str]:
    """Return the images that complete parts have, failed ones included."""
    return {key for record in parts.values() for key in record.processed}


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a shard.

    Raises:
        EveryposeError: if it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        raise EveryposeError(f"{path} is not a manifest of a bulk run") from error


def read_parts(folder: Path) -> dict[Path, PartRecord]:
    """Read the records of a shard's complete parts, by the Parquet file's path.

    Raises:
        EveryposeError: if a record is damaged.
    """
    parts = {}
    for path in sorted(folder.glob(f"part-{6 * '[0-9]'}.json")):
        try:
            parts[path.with_suffix(".parquet")] = PartRecord.model_validate(read_json(path))
        except ValidationError as error:
            raise EveryposeError(f"{path} is not a record of a part: remove it, and run the shard again") from error
    return parts
