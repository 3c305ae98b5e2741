"""The JSON files of a bulk run: a manifest for each shard and a record for each of its Parquet parts."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

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
        items: number of images.
        items_sha256: of the sorted names of the images, one a line.
        finished: whether all images are in parts.
    """

    index: int
    count: int
    model: dict[str, str]
    items: int
    items_sha256: str
    finished: bool = False


class PartRecord(Settings):
    """A part that is complete; a Parquet file without a record is not.

    Attributes:
        items: images whose rows it has; those without people have none.
        failed: images that could not be read, with the reason.
        rows: number of rows.
        sha256: of the Parquet file.
    """

    items: list[str]
    failed: dict[str, str]
    rows: int
    sha256: str


def digest(keys: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted keys, one a line."""
    return hashlib.sha256("\n".join(sorted(keys)).encode("utf-8", "surrogateescape")).hexdigest()


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
