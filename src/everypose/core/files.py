"""Atomic file writing, and reading JSON and hashes."""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from everypose.errors import EveryposeError, UsageError

_TEMPORARY_NAME = re.compile(r"\..*-(\d{1,10})-[a-z0-9_]{8}(\..*)?", re.DOTALL)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; move it there if the block succeeds, remove it otherwise.

    The move is atomic, so that a crash or a full disk leaves the old file or none, never a part of the new one.

    Raises:
        EveryposeError: if the folder cannot be made or written, or the disk is full.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a" / "b.txt"
        >>> with written_whole(file) as part:
        ...     _ = part.write_text("all or nothing")
        >>> file.read_text()
        'all or nothing'
    """
    path = Path(path)
    made = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-{os.getpid()}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except (OSError, ValueError) as error:  # a ValueError: a name that the system cannot have
        _remove_empty(made)
        reason = getattr(error, "strerror", None) or error
        raise EveryposeError(f"cannot write {path}: {reason}") from error
    part = Path(name)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise EveryposeError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
        _remove_empty(made)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that are empty, innermost first."""
    for folder in folders:
        with suppress(OSError, ValueError):
            folder.rmdir()


def remove_leftovers(folder: Path, subfolders: Iterable[str] = ()) -> None:
    """Remove the temporary files that killed processes of this machine left in a folder.

    Files of processes that still run stay.

    Args:
        folder: the folder.
        subfolders: names of those of its folders that are searched, too, with all folders in them.

    Example:
        >>> import tempfile
        >>> remove_leftovers(Path(tempfile.mkdtemp()))
    """
    walked = [Path(parent) for name in subfolders for parent, _, _ in os.walk(folder / name)]
    for parent in [folder, *walked]:
        try:
            names = [entry.name for entry in os.scandir(parent)]
        except OSError:
            continue
        for name in names:
            match = _TEMPORARY_NAME.fullmatch(name)
            if match is not None and not _is_running(int(match[1])):
                with suppress(OSError):
                    (parent / name).unlink()


def _is_running(process: int) -> bool:
    """Whether a process of this number exists; True if the system gives no answer."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def exists(path: str | Path) -> bool:
    r"""Whether there is a file or folder of this name; False for names that the system cannot have, as very long ones.

    >>> exists("n" * 1000), exists("\0")
    (False, False)
    """
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises OSError for names that are too long


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, atomically.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "b.bin"
        >>> write_bytes(file, b"12")
        >>> file.read_bytes()
        b'12'
    """
    with written_whole(path) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    r"""Write ``content`` to ``path`` as UTF-8, atomically.

    Raises:
        EveryposeError: if the file cannot be written, or the text holds half of a surrogate pair.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_text(file, "å")
        >>> file.read_bytes()
        b'\xc3\xa5'
    """
    try:
        encoded = content.encode()
    except UnicodeEncodeError as error:
        raise EveryposeError(f"cannot write {path}: its text is not valid Unicode") from error
    write_bytes(path, encoded)


def write_json(path: Path, content: Any, indent: int | None = None, *, null_for_nan: bool = False) -> None:
    """Write ``content`` as JSON, atomically.

    Args:
        path: the file.
        content: JSON types.
        indent: spaces of indentation; None for one line.
        null_for_nan: write null for NaN and infinities, which JSON does not have.

    Raises:
        EveryposeError: if the file cannot be written, or a number is not finite.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(file, {"score": float("nan")}, null_for_nan=True)
        >>> file.read_text().strip()
        '{"score": null}'
    """
    try:
        text = json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        if not null_for_nan:
            raise EveryposeError(f"cannot write {path}: a number in it is not finite") from error
        text = json.dumps(without_nan(content), indent=indent, allow_nan=False)
    write_text(path, text + "\n")


def without_nan(value: Any) -> Any:
    """The same JSON value with null in place of NaN and infinities.

    Example:
        >>> without_nan({"a": [1.5, float("nan")]})
        {'a': [1.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return {key: without_nan(item) for key, item in value.items()} if isinstance(value, dict) else value


def read_json(path: Path) -> Any:
    """Read a JSON file with pydantic's parser, which gives the same values as the standard library, but faster.

    Raises:
        EveryposeError: if the file is missing, unreadable or not JSON; the message has the line number.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder) / "a.json", {"score": 0.5})
    ...     read_json(Path(folder) / "a.json")
    {'score': 0.5}
    """
    from pydantic_core import from_json

    try:
        return from_json(Path(path).read_bytes(), cache_strings="keys")
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise EveryposeError(f"{path} is not valid JSON: {error}") from error


def refuse_to_replace(out: Path | None, *inputs: Path | None) -> None:
    """Refuse an output that would take the place of an input.

    Args:
        out: the file that is to be written; None if there is none.
        inputs: files that are read.

    Raises:
        UsageError: if one of them is the output.

    Example:
        >>> refuse_to_replace(Path("b.json"), Path("a.json"), None)
    """
    for given in inputs:
        if out is not None and given is not None and os.path.realpath(out) == os.path.realpath(given):
            raise UsageError(f"the output would replace {given}, which is read: choose another name than {out}")


def text_name(name: str) -> str:
    """A file name as text that every JSON reader takes: bytes that are no UTF-8 become escapes.

    Example:
        >>> text_name("photo.jpg")
        'photo.jpg'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "hello")
    ...     sha256(Path(folder) / "a.txt")[:8]
    '2cf24dba'
    """
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _umask() -> int:
    """The process's file mode mask (there is no way to read it without setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
