"""The one directory walk of all commands: regular files below a folder, and what could not be entered or read."""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from everypose.data.image_header import IMAGE_SUFFIXES

_KINDS = (
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Skipped:
    """A file or folder that a walk could not use.

    Attributes:
        path: the file or folder.
        reason: one line that names it.

    >>> Skipped(Path("a/pipe.jpg"), "it is a named pipe").reason
    'it is a named pipe'
    """

    path: Path
    reason: str


@dataclass
class Walk:
    """The result of a walk.

    Attributes:
        files: regular files, by folder: a folder's own files sorted by name, then those of its subfolders.
        skipped: folders that could not be entered, and files with a wanted suffix that are no regular files.

    >>> Walk(files=[Path("a.jpg")]).skipped
    []
    """

    files: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def walk(
    folder: Path,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
    *,
    without: Path | None = None,
    depth: int | None = None,
) -> Walk:
    """Find the files below a folder; hidden files and folders are left out, links are followed.

    Each folder is entered once, so that links in a circle end. Named pipes, sockets, devices and broken links are never
    opened.

    Args:
        folder: where to begin.
        suffixes: in lower case; other files are left out.
        without: a folder that is not entered, such as the output folder.
        depth: levels of subfolders to enter; all when None.

    Returns:
        The files and what was skipped.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     _ = (Path(name) / "a.jpg").write_bytes(b"")
        ...     [path.name for path in walk(Path(name)).files]
        ['a.jpg']
    """
    found = Walk()
    avoided = None if without is None else os.path.realpath(without)
    entered: set[tuple[int, int]] = set()
    waiting = [(Path(folder), 0)]
    while waiting:
        here, level = waiting.pop()
        subfolders = _read_folder(here, suffixes, entered, found)
        if depth is None or level < depth:
            subfolders = [each for each in subfolders if avoided is None or os.path.realpath(each) != avoided]
            waiting += [(each, level + 1) for each in reversed(subfolders)]
    return found


def problem_of(path: Path) -> str | None:
    """Why a file must not be opened, in one line; None for a regular file or an unknown file type.

    >>> problem_of(Path("missing.jpg"))
    'missing.jpg does not exist'
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"{path} is a link to nothing" if path.is_symlink() else f"{path} does not exist"
    except (OSError, ValueError) as error:
        return f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
    return next((f"{path} is {what}, not a file" for test, what in _KINDS if test(mode)), None)


def is_file(path: Path) -> bool:
    """Whether a path is a regular file; False, and no error, for names that the system does not take.

    Example:
        >>> is_file(Path("a" * 5000))
        False
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False, and no error, for names that the system does not take.

    >>> is_folder(Path("."))
    True
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _read_folder(folder: Path, suffixes: Collection[str], entered: set[tuple[int, int]], found: Walk) -> list[Path]:
    """Add one folder's files to ``found``; its subfolders, sorted."""
    try:
        own = folder.stat()
        if (own.st_dev, own.st_ino) in entered:
            return []
        entered.add((own.st_dev, own.st_ino))
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        found.skipped.append(Skipped(folder, f"cannot read the folder {folder}: {error.strerror or error}"))
        return []
    subfolders = []
    for name in names:
        path = folder / name
        if is_folder(path):
            subfolders.append(path)
        elif path.suffix.lower() in suffixes:
            if is_file(path):
                found.files.append(path)
            else:
                found.skipped.append(Skipped(path, problem_of(path) or f"{path} is not a file"))
    return subfolders
