"""Files that a file, folder or glob names; names that are cameras or live streams."""

import glob
import os
from collections.abc import Collection
from pathlib import Path

from everypose.core.files import exists
from everypose.data.discovery.walk import Skipped, is_folder, problem_of, walk
from everypose.errors import UsageError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".3g2", ".ts", ".mts"}
    | {".m2ts", ".vob", ".ogv", ".mxf", ".asf", ".f4v", ".mjpg", ".mjpeg", ".h264", ".264", ".hevc", ".265", ".y4m"}
    | {".gif"}
)
"""The suffixes, in lower case, of files that are read frame by frame. A GIF may have one frame or many."""
RTSP_SCHEMES = ("rtsp://", "rtsps://")


def is_camera(source: str) -> bool:
    """Whether a source is the number of a camera, and not a file of that name.

    >>> is_camera("0"), is_camera("clip.mp4")
    (True, False)
    """
    return source.isdecimal() and not exists(source)


def is_stream(source: str) -> bool:
    """Whether a source is an address of a live stream.

    >>> is_stream("rtsp://camera.local/1"), is_stream("http://example.org/clip.mp4")
    (True, False)
    """
    return source.lower().startswith(RTSP_SCHEMES)


def files_of(source: str, skip: Path | None, problems: list[Skipped], suffixes: Collection[str]) -> list[Path]:
    """Return the files that one file, folder or glob names.

    Args:
        source: the file, folder or glob.
        skip: a folder that is not entered.
        problems: receives what cannot be used.
        suffixes: of the files that searches find.

    Raises:
        UsageError: if it is missing, unreadable or contains no such file.

    >>> found = files_of("clip.mp4", None, [], {".mp4"})
    >>> [path.name for path in found]
    ['clip.mp4']
    """
    try:
        return _expand(source, skip, problems, suffixes)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error


def _expand(source: str, skip: Path | None, problems: list[Skipped], suffixes: Collection[str]) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = walk(path, suffixes, without=skip)
        problems += found.skipped
        if not found.files and not found.skipped:
            raise UsageError(f"no image in folder {source}: a file counts when it is called .jpg, .png or the like")
        return found.files
    if exists(path):
        problem = None if path.is_fifo() else problem_of(path)  # a pipe that is named may be meant: <(cat a.jpg)
        if problem is not None:
            raise UsageError(problem)
        return [path]
    if path.is_symlink():
        raise UsageError(problem_of(path) or f"{source} is a broken link")
    if glob.has_magic(source):
        before = len(problems)
        matching = _matching(source, skip, problems, suffixes)
        if not matching and len(problems) == before:
            raise UsageError(f"no image matches {source}")
        return matching
    raise UsageError(f"no such file or folder: {source}")


def _matching(pattern: str, skip: Path | None, problems: list[Skipped], suffixes: Collection[str]) -> list[Path]:
    """Return the files that a glob names, sorted; those in the folders that it names, too."""
    avoided = os.path.realpath(skip) if skip else None
    found: list[Path] = []
    unwanted = VIDEO_SUFFIXES - frozenset(suffixes)
    # Path.glob takes no absolute pattern.
    for match in map(Path, sorted(glob.glob(_literal_start(pattern), recursive=True))):  # noqa: PTH207
        real = os.path.realpath(match)
        if avoided is not None and (real == avoided or real.startswith(avoided + os.sep)):
            continue
        if is_folder(match):
            entered = walk(match, suffixes, without=skip)
            found += entered.files
            problems += entered.skipped
        elif match.suffix.lower() not in unwanted:
            problem = problem_of(match)
            if problem is None:
                found.append(match)
            else:
                problems.append(Skipped(match, problem))
    return found


def _literal_start(pattern: str) -> str:
    """Return the pattern with its leading folders escaped where they exist as written, such as ``trip[1]/*.jpg``."""
    parts = Path(pattern).parts
    start = Path()
    for index, part in enumerate(parts):
        if not exists(start / part):
            return os.path.join(glob.escape(str(start)), *parts[index:]) if index else pattern  # noqa: PTH118
        start /= part
    return pattern
