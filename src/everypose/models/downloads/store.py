"""The folder of downloaded models, with a record of revision, hashes and sizes next to each model.

``EVERYPOSE_HOME`` is the folder, or ``everypose`` in the user's cache. ``models/NAME`` has a model's files and
``models/NAME.json`` its record. A file gets its name only when it is whole and has the hash that is required: that of
the catalog, or else that of the first download.
"""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from hashlib import sha256 as sha256_of
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout
from pydantic import ValidationError

from everypose.core.files import sha256
from everypose.core.progress import byte_progress
from everypose.errors import EveryposeError, UsageError
from everypose.models.catalog import Entry, HubSource, catalog
from everypose.models.config import CONFIG_FILE, WEIGHTS_FILE
from everypose.models.downloads.client import UnreachableError, download, is_offline
from everypose.models.downloads.content import extract_member, require_kind
from everypose.models.downloads.hub_api import Remote, authorization, endpoint, list_repository
from everypose.models.downloads.records import (
    Record,
    StoredFile,
    fits_catalog,
    folder_of,
    home,
    read_record,
    record_path,
    write_record,
)

PREPROCESSING_FILE = "preprocessor_config.json"
_NESTED_GRAPH = "onnx/model.onnx"


def stored(entry: Entry) -> Path | None:
    """Return the folder of a model that is downloaded completely; None for others.

    Files that changed since their hash was last checked are checked again.

    Raises:
        EveryposeError: if a file has another hash than its record.

    >>> import os
    >>> from unittest.mock import patch
    >>> from everypose.models.catalog import require_entry
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     stored(require_entry("vitpose-plus-b")) is None  # not downloaded
    True
    """
    record = read_record(entry)
    folder = folder_of(entry)
    if record is None or not fits_catalog(entry, record):
        return None
    if not all((folder / name).is_file() for name in record.files):
        return None
    changed = {name: file for name, file in record.files.items() if not _is_unchanged(folder / name, file)}
    if changed:
        if problems := verify(entry):
            raise EveryposeError(f"{problems[0]}: remove it and run 'everypose models get {entry.name}'")
        checked = {
            name: file.model_copy(update={"mtime_ns": _mtime(folder / name)}) for name, file in record.files.items()
        }
        with suppress(EveryposeError):  # the folder may be read-only; then files are checked each time
            write_record(entry, record.model_copy(update={"files": checked}))
    return folder


def verify(entry: Entry) -> list[str]:
    """Compare all files of a downloaded model with its record and with the catalog.

    Returns:
        One line for each problem; a damaged record is one.

    >>> import os
    >>> from unittest.mock import patch
    >>> from everypose.models.catalog import require_entry
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     verify(require_entry("vitpose-plus-b"))
    ['vitpose-plus-b is not downloaded']
    """
    try:
        record = read_record(entry)
    except EveryposeError as error:
        return [str(error)]
    if record is None:
        return [f"{entry.name} is not downloaded"]
    problems = [] if fits_catalog(entry, record) else [f"{entry.name} is not the version that the catalog requires"]
    for name, file in record.files.items():
        path = folder_of(entry) / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.stat().st_size != file.size or sha256(path) != file.sha256:
            problems.append(f"{path} is not the file that was downloaded")
    return problems


def downloaded() -> list[Entry]:
    """Return the models of the catalog and of hub repositories that have a record, a damaged one, too.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     downloaded()
    []
    """
    known = {record_path(entry): entry for entry in catalog().model if entry.downloads}
    entries = [entry for path, entry in known.items() if path.exists()]
    for path in sorted((home() / "models").glob("*--*.json")):
        if path not in known:
            with suppress(UsageError):  # a file of another kind
                entries.append(hub_entry(path.stem.replace("--", "/")))
    return entries


def fetch(entry: Entry, *, update: bool = False, quiet: bool = False) -> Path:
    """Return the folder with a model's files; download them if they are not there.

    Args:
        entry: a model that can be downloaded.
        update: take the newest revision and record its hashes, where the catalog does not require others.
        quiet: show no progress.

    Raises:
        UsageError: if the model cannot be downloaded.
        EveryposeError: if there is no connection, or what the server sends is not what is required.

    >>> import os
    >>> from unittest.mock import patch
    >>> from everypose.models.catalog import require_entry
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models", "HF_HUB_OFFLINE": "1"}):
    ...     fetch(require_entry("vitpose-plus-b"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: HF_HUB_OFFLINE forbids connections, and vitpose-plus-b is not ...
    """
    if not entry.downloads:
        raise UsageError(f"{entry.name} is not downloaded: 'everypose models show {entry.name}' says where it is from")
    if not update and (folder := stored(entry)) is not None:
        return folder
    if is_offline():
        raise EveryposeError(f"HF_HUB_OFFLINE forbids connections, and {_advice(entry)}")
    folder = folder_of(entry)
    _make_folder(folder)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        with _acquired(lock, entry, quiet=quiet):
            if not update and (found := stored(entry)) is not None:
                return found
            before = read_record(entry)
            known = None if update else before
            if known is not None and not fits_catalog(entry, known):
                known = None
            try:
                record = _fetch_hub(entry, known, quiet) if entry.hub else _fetch_release(entry, known, quiet)
            except UnreachableError as error:
                raise EveryposeError(f"{error}; {_advice(entry)}") from error
            # A file that only the version before had would be a second model in the folder.
            for name in set(before.files if before else ()) - set(record.files):
                (folder / PurePosixPath(name).name).unlink(missing_ok=True)
            write_record(entry, record)
    except OSError as error:
        raise EveryposeError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def hub_entry(name: str) -> Entry:
    """Return the entry of a hub id, ``owner/name`` or ``owner/name@revision``, which is not in the catalog.

    >>> hub_entry("owner/name").hub.repository
    'owner/name'
    """
    repository, _, revision = name.partition("@")
    try:
        source = HubSource(repository=repository, revision=revision or None)
        return Entry(name=repository, family="", description="a hub repository", hub=source)
    except ValidationError as error:
        raise UsageError(
            f"{name} is not a hub id: give owner/name, or owner/name@ and the 40 digits of a commit"
        ) from error


def _acquired(lock: FileLock, entry: Entry, *, quiet: bool) -> AbstractContextManager[object]:
    """Acquire a lock, which leaving the returned context releases; say why if that takes long."""
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        if not quiet:
            print(f"everypose: another process downloads {entry.name}; waiting for it", file=sys.stderr)
    return lock.acquire()


def _fetch_hub(entry: Entry, known: Record | None, quiet: bool) -> Record:
    """Download the files of a hub repository."""
    source = entry.hub
    assert source is not None
    recorded = known.revision if known else None
    revision, listing = list_repository(source, source.revision or recorded)
    paths = [file.path for file in source.files] or _model_files(listing)
    if not paths:
        raise EveryposeError(
            f"{source.repository} has no model that everypose reads: no {WEIGHTS_FILE} and no .onnx file"
        )
    if missing := [path for path in paths if path not in listing]:
        raise EveryposeError(f"{source.repository} at {revision[:12]} has no {missing[0]}")
    pinned = {file.path: file for file in source.files}
    parts: dict[str, Path] = {}
    try:
        for path in paths:
            name = PurePosixPath(path).name
            pin, remote = pinned.get(path), listing[path]
            wanted = (pin.sha256 if pin else None) or _recorded_hash(known, name) or remote.sha256
            if remote.sha256 not in (None, wanted):
                raise EveryposeError(_changed(entry, name, wanted, remote.sha256))
            required = Remote(remote.address, (pin.size if pin else None) or remote.size, wanted)
            parts[name] = _download(entry, required, PurePosixPath(path).suffix, quiet, authorization())
    except UnreachableError:
        raise
    except EveryposeError:
        for part in parts.values():
            _discard(part)
        raise
    files = {name: _install(part, folder_of(entry) / name) for name, part in parts.items()}
    return Record(name=entry.name, source=f"{endpoint()}/{source.repository}", revision=revision, files=files)


def _fetch_release(entry: Entry, known: Record | None, quiet: bool) -> Record:
    """Download a released file, or an archive and the one member of it that is used."""
    source = entry.release
    assert source is not None
    suffix = PurePosixPath(source.url).suffix
    name = entry.name + (suffix if source.member is None else PurePosixPath(source.member).suffix)
    recorded = _recorded_hash(known, name)
    if source.member is not None:
        recorded = None if known is None else known.archive_sha256
    remote = Remote(source.url, source.size, source.sha256 or recorded)
    part = _download(entry, remote, suffix, quiet, {})
    if source.member is None:
        return Record(name=entry.name, source=source.url, files={name: _install(part, folder_of(entry) / name)})
    try:
        digest = sha256(part)
        member = part.with_suffix(".member")
        try:
            extract_member(part, source.member, member)
            require_kind(member, PurePosixPath(name).suffix)
            file = _install(member, folder_of(entry) / name)
        finally:
            member.unlink(missing_ok=True)
    except EveryposeError as error:
        raise EveryposeError(f"{entry.name}: {source.url}: {error}") from error
    finally:
        _discard(part)
    return Record(name=entry.name, source=source.url, archive_sha256=digest, files={name: file})


def _download(entry: Entry, remote: Remote, suffix: str, quiet: bool, headers: Mapping[str, str]) -> Path:
    """Download a file next to the models and check it.

    Returns:
        Its temporary path. After an error it exists only if the connection was cut, for the next call to resume.
    """
    key = sha256_of(f"{remote.address} {remote.sha256}".encode()).hexdigest()[:32]
    part = home() / "partial" / f"{key}.part"
    _make_folder(part.parent)
    if not quiet:
        size = "" if remote.size is None else f" ({remote.size / 1e6:.1f} MB)"
        print(f"everypose: downloading {remote.address}{size}", file=sys.stderr)
    try:
        with byte_progress(entry.name, quiet) as on_size:
            download(remote.address, part, size=remote.size, headers=headers, on_size=on_size)
        require_kind(part, suffix)
        if remote.sha256 is not None and (found := sha256(part)) != remote.sha256:
            raise EveryposeError(_changed(entry, PurePosixPath(remote.address).name, remote.sha256, found))
    except UnreachableError:
        raise
    except EveryposeError as error:
        _discard(part)
        raise error if str(error).startswith(entry.name) else EveryposeError(f"{entry.name}: {error}") from error
    except OSError:  # a full disk
        _discard(part)
        raise
    return part


def _discard(part: Path) -> None:
    """Remove what was received of a file."""
    part.unlink(missing_ok=True)
    part.with_suffix(".etag").unlink(missing_ok=True)


def _install(part: Path, path: Path) -> StoredFile:
    """Move a checked file to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = StoredFile(sha256=sha256(part), size=part.stat().st_size, mtime_ns=_mtime(part))
    part.replace(path)
    _discard(part)
    return file


def _model_files(listing: Mapping[str, Remote]) -> list[str]:
    """Return what a repository's model consists of: configurations and weights at its top, or a nested graph."""
    if WEIGHTS_FILE in listing:
        return [path for path in (CONFIG_FILE, PREPROCESSING_FILE, WEIGHTS_FILE) if path in listing]
    graphs = [path for path in listing if path.endswith(".onnx") and "/" not in path]
    return graphs or [path for path in (CONFIG_FILE, PREPROCESSING_FILE, _NESTED_GRAPH) if _NESTED_GRAPH in listing]


def _recorded_hash(known: Record | None, name: str) -> str | None:
    return known.files[name].sha256 if known is not None and name in known.files else None


def _changed(entry: Entry, name: str, wanted: str | None, found: str | None) -> str:
    return (
        f"{entry.name}: {name} has sha256 {str(found)[:12]} instead of {str(wanted)[:12]}: the file was replaced or "
        "damaged, and is refused"
    )


def _advice(entry: Entry) -> str:
    """What to do without a connection."""
    return (
        f"{entry.name} is not downloaded: on a machine with a connection run 'everypose models get {entry.name} "
        "--to DIR', then set EVERYPOSE_HOME=DIR here"
    )


def _is_unchanged(path: Path, file: StoredFile) -> bool:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _mtime(path: Path) -> int:
    return path.stat().st_mtime_ns


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EveryposeError(f"cannot write {folder}: {error.strerror or error}") from error
