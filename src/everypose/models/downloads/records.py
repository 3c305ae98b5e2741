"""Where downloaded models are, and the record of what was downloaded."""

import os
from pathlib import Path, PurePosixPath
from typing import Literal

from everypose.core.files import read_json, write_json
from everypose.core.settings import Settings
from everypose.core.validation import validated
from everypose.models.catalog import Entry, Sha256


class StoredFile(Settings):
    """A file that was downloaded.

    Attributes:
        sha256: of its content.
        size: in bytes.
        mtime_ns: its time of modification when the hash was last checked.

    >>> StoredFile(sha256="0" * 64, size=1000).mtime_ns
    0
    """

    sha256: Sha256
    size: int
    mtime_ns: int = 0


class Record(Settings):
    """What was downloaded for a model; later downloads must give the same.

    Attributes:
        format: of the file.
        name: the model's name.
        source: the repository or address.
        revision: the commit; None for a release.
        archive_sha256: of the zip archive that the file was in.
        files: by name.

    >>> file = StoredFile(sha256="0" * 64, size=1000)
    >>> Record(name="mine", source="owner/name", files={"model.onnx": file}).revision is None
    True
    """

    format: Literal["everypose download 1"] = "everypose download 1"
    name: str
    source: str
    revision: str | None = None
    archive_sha256: Sha256 | None = None
    files: dict[str, StoredFile]


def home() -> Path:
    """Return the folder of downloads: ``EVERYPOSE_HOME``, or ``everypose`` in the user's cache.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     home().name
    'models'
    """
    if given := os.environ.get("EVERYPOSE_HOME"):
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "everypose"


def folder_of(entry: Entry) -> Path:
    """Return the folder of a model's files, whether it exists or not.

    >>> from everypose.models.catalog import require_entry
    >>> folder_of(require_entry("vitpose-plus-b")).name
    'vitpose-plus-b'
    """
    return home() / "models" / entry.name.replace("/", "--")


def record_path(entry: Entry) -> Path:
    """Return the path of a model's record.

    >>> from everypose.models.catalog import require_entry
    >>> record_path(require_entry("vitpose-plus-b")).name
    'vitpose-plus-b.json'
    """
    folder = folder_of(entry)
    return folder.with_name(f"{folder.name}.json")


def read_record(entry: Entry) -> Record | None:
    """Return a model's record; None if it was never downloaded.

    Raises:
        EveryposeError: if the record is damaged.

    >>> from unittest.mock import patch
    >>> from everypose.models.catalog import require_entry
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     read_record(require_entry("vitpose-plus-b")) is None  # never downloaded
    True
    """
    path = record_path(entry)
    if not path.exists():
        return None
    return validated(Record, read_json(path), f"{path} is damaged (remove it, and download {entry.name} again)")


def fits_catalog(entry: Entry, record: Record) -> bool:
    """Whether a record has the revision and the hashes that the catalog requires.

    >>> from everypose.models.catalog import require_entry
    >>> entry = require_entry("vitpose-plus-b")
    >>> fits_catalog(entry, Record(name=entry.name, source="owner/name", revision="0" * 40, files={}))
    True
    """
    if entry.hub is not None:
        files = {PurePosixPath(file.path).name: file.sha256 for file in entry.hub.files if file.sha256 is not None}
        return entry.hub.revision in (None, record.revision) and all(
            name in record.files and record.files[name].sha256 == wanted for name, wanted in files.items()
        )
    if entry.release is None or entry.release.sha256 is None:
        return True
    found = {record.archive_sha256} if entry.release.member else {file.sha256 for file in record.files.values()}
    return found == {entry.release.sha256}


def write_record(entry: Entry, record: Record) -> None:
    """Write the record of a downloaded model.

    >>> from unittest.mock import patch
    >>> from everypose.models.catalog import require_entry
    >>> entry = require_entry("vitpose-plus-b")
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     write_record(entry, Record(name=entry.name, source="owner/name", files={}))
    ...     read_record(entry).source
    'owner/name'
    """
    write_json(record_path(entry), record.model_dump(mode="json"), indent=1)
