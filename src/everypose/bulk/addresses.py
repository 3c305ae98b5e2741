"""Files in object stores and other file systems that fsspec knows, by their address, such as ``s3://bucket/a.jpg``."""

import glob
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from everypose.data.web_images import MOST_BYTES, without_password
from everypose.errors import EveryposeError, MissingDependencyError, UsageError, as_user_error, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SEPARATOR = "://"


def is_address(source: str) -> bool:
    """Whether a source is an address, and not a local path.

    >>> is_address("s3://bucket/photos"), is_address("photos")
    (True, False)
    """
    scheme, separator, _ = source.partition(SEPARATOR)
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def name_of(address: str) -> str:
    """Return the name of an address in messages and tables: the address without a password.

    >>> name_of("s3://bucket/photos/a#1.jpg"), name_of("ftp://me:secret@host/a.jpg")
    ('s3://bucket/photos/a#1.jpg', 'ftp://host/a.jpg')
    """
    host = address.partition(SEPARATOR)[2].partition("/")[0]
    return without_password(address) if "@" in host else address


def find_addresses(address: str, suffixes: Collection[str]) -> list[str]:
    """Return the address of a file, of all files below a folder or prefix, or of those that match a pattern.

    Args:
        address: of a file, a folder, or a pattern with ``*``, ``?`` or ``[``.
        suffixes: in lower case, of the files that a search of a folder finds; hidden ones are left out.

    Raises:
        UsageError: if there is no such file, or the package of the file system is missing.
        EveryposeError: if the store cannot be read.

    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe({"/find/a.jpg": b"1", "/find/notes.txt": b"2"})
    >>> find_addresses("memory://find", {".jpg"})
    ['memory:///find/a.jpg']
    """
    name = name_of(address)
    with _store_errors(name):
        system, path = _open_system(address)
        if glob.has_magic(path):
            matching = cast(dict[str, dict[str, object]], system.glob(path, detail=True))
            found = sorted(each for each, entry in matching.items() if entry.get("type") == "file")
        elif system.isfile(path):
            found = [path]
        else:
            found = [each for each in sorted(system.find(path)) if _is_wanted(each, path, suffixes)]
        addresses = [str(system.unstrip_protocol(each)) for each in found]
    if not addresses:
        raise UsageError(f"no image at {name}: it does not exist, or contains no files called .jpg, .png or the like")
    return addresses


def read_address(address: str) -> bytes:
    """Return the content of a file.

    Raises:
        EveryposeError: if it cannot be read or has more than `MOST_BYTES`.

    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe("/read/a.jpg", b"content")
    >>> read_address("memory://read/a.jpg")
    b'content'
    """
    name = name_of(address)
    with _store_errors(name):
        system, path = _open_system(address)
        content = bytes(system.cat_file(path, start=0, end=MOST_BYTES + 1))
    if len(content) > MOST_BYTES:
        raise EveryposeError(f"cannot read {name}: it has more than {MOST_BYTES // 2**20} MB")
    return content


def size_of_address(address: str) -> int:
    """Return the bytes of a file.

    Raises:
        EveryposeError: if it cannot be found.

    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe("/size/a.jpg", b"content")
    >>> size_of_address("memory://size/a.jpg")
    7
    """
    with _store_errors(name_of(address)):
        system, path = _open_system(address)
        return int(system.size(path) or 0)


def open_address(address: str) -> BinaryIO:
    """Open a file for reading from its start to its end; blocks are read ahead.

    Raises:
        EveryposeError: if it cannot be opened.

    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe("/open/a.jpg", b"content")
    >>> with open_address("memory://open/a.jpg") as file:
    ...     file.read(3)
    b'con'
    """
    with _store_errors(name_of(address)):
        system, path = _open_system(address)
        return cast(BinaryIO, system.open(path, "rb"))


def _open_system(address: str) -> "tuple[AbstractFileSystem, str]":
    """Return the file system of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError(f"reading {name_of(address)}", "bulk") from error
    if "::" in address:
        raise UsageError(f"{name_of(address)} joins several file systems: give an address with one")
    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:  # the package of this kind of address, or the kind itself, is missing
        raise UsageError(f"cannot read {name_of(address)}: {first_line(error)}") from error
    return system, str(path)


@contextmanager
def _store_errors(name: str) -> Iterator[None]:
    """Turn what file systems raise into an `EveryposeError` of one line."""
    try:
        with as_user_error(f"cannot read {name}"):
            yield
    except EveryposeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise EveryposeError(f"{name} does not exist") from error
        raise


def _is_wanted(path: str, folder: str, suffixes: Collection[str]) -> bool:
    """Whether a search of a folder includes a file: by its suffix, unless it or a folder on its path is hidden."""
    below = PurePosixPath(path.removeprefix(folder.rstrip("/")))
    return below.suffix.lower() in suffixes and not any(part.startswith(".") for part in below.parts)
