"""What to look at: files, folders, globs and lists become a list of images, each with a name and a number."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from everypose.data.discovery.walk import Skipped, is_folder, problem_of, walk
from everypose.errors import UsageError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"})
LARGEST_ID = 2**53
"""JSON readers that keep numbers as doubles hold integers below this one exactly."""


@dataclass(frozen=True)
class Source:
    """One image to look at."""

    path: Path
    name: str
    """What its output files are called, without suffix; no other image of the run has it."""
    image_id: int


def find_images(
    sources: Sequence[str],
    listed: Iterable[bytes] = (),
    skip: Path | None = None,
    skipped: list[Skipped] | None = None,
) -> list[Source]:
    """Find the images that the user named.

    Files are taken as they are, whatever their suffix; folders are searched with all their subfolders, in sorted
    order, for files with an image's suffix, hidden ones left out; a name that does not exist and holds ``*``, ``?``
    or ``[`` is a glob. An image that is named twice is taken once.

    Args:
        sources: files, folders and globs; "-" stands for the list.
        listed: the list, one file, folder or glob a line.
        skip: a folder whose content is left out when a search meets it: the output folder.
        skipped: receives what searches of folders and globs met and cannot use: folders that cannot be entered, named
            pipes, devices, broken links.

    Raises:
        UsageError: when something named is missing, holds no image, or is a video.
    """
    paths: dict[str, Path] = {}
    problems = [] if skipped is None else skipped
    for source in sources:
        lines = (os.fsdecode(line).strip("\r\n") for line in listed) if source == "-" else iter([source])
        for line in lines:
            if line.strip():
                for path in _images_of(line, skip, problems):
                    paths.setdefault(os.path.realpath(path), path)
    if not paths and problems:
        raise UsageError(problems[0].reason)
    if not paths:
        raise UsageError("no image is named: give files, folders or globs, or a list on standard input after -")
    found = list(paths.values())
    return [Source(*each) for each in zip(found, unique_names(found), image_ids(found), strict=True)]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names for output files: the files' own without suffix; a second ``a`` is ``a_2``.

    Names differ in more than upper and lower case, because some file systems do not tell these apart.
    """
    # A file's name may hold 255 bytes; ours add a number and another suffix.
    stems = [path.stem if len(os.fsencode(path.stem)) <= 240 else path.stem[:50] for path in paths]
    taken = {stem.casefold() for stem in stems}
    seen: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        if stem.casefold() in seen:
            while name.casefold() in taken:
                number += 1
                name = f"{stem}_{number}"
            taken.add(name.casefold())
        seen.add(stem.casefold())
        names.append(name)
    return names


def image_ids(paths: Sequence[Path]) -> list[int]:
    """The number at the end of each file's name, as COCO's; 1, 2, 3 ... unless all have one and all differ."""
    matches = [re.search(r"[0-9]+$", path.stem) for path in paths]
    numbers = [int(match[0]) for match in matches if match]
    if len(set(numbers)) < len(paths) or max(numbers) >= LARGEST_ID:
        return list(range(1, len(paths) + 1))
    return numbers


def _images_of(source: str, skip: Path | None, problems: list[Skipped]) -> list[Path]:
    """The images that one file, folder or glob names; what the system does not let us read is a user's error, too."""
    try:
        return _expand(source, skip, problems)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error


def _expand(source: str, skip: Path | None, problems: list[Skipped]) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = walk(path, without=skip)
        problems += found.skipped
        if not found.files and not found.skipped:
            raise UsageError(f"no image in folder {source}: a file counts when it is called .jpg, .png or the like")
        return found.files
    if path.exists():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise UsageError(f"{source} is a video, and predict reads images only: save its frames as images first")
        problem = None if path.is_fifo() else problem_of(path)  # a pipe that is named may be meant: <(cat a.jpg)
        if problem is not None:
            raise UsageError(problem)
        return [path]
    if path.is_symlink():
        raise UsageError(problem_of(path) or f"{source} is a broken link")
    if glob.has_magic(source):
        before = len(problems)
        matching = _matching(source, skip, problems)
        if not matching and len(problems) == before:
            raise UsageError(f"no image matches {source}")
        return matching
    raise UsageError(f"no such file or folder: {source}")


def _matching(pattern: str, skip: Path | None, problems: list[Skipped]) -> list[Path]:
    """The images that a glob names, sorted; those in the folders that it names, too."""
    avoided = os.path.realpath(skip) if skip else None
    found: list[Path] = []
    # Path.glob takes no absolute pattern.
    for match in map(Path, sorted(glob.glob(_literal_start(pattern), recursive=True))):  # noqa: PTH207
        real = os.path.realpath(match)
        if avoided is not None and (real == avoided or real.startswith(avoided + os.sep)):
            continue
        if is_folder(match):
            entered = walk(match, without=skip)
            found += entered.files
            problems += entered.skipped
        elif match.suffix.lower() not in VIDEO_SUFFIXES:
            problem = problem_of(match)
            if problem is None:
                found.append(match)
            else:
                problems.append(Skipped(match, problem))
    return found


def _literal_start(pattern: str) -> str:
    """The pattern with its leading folders escaped where they exist as written, such as ``trip[1]/*.jpg``."""
    parts = Path(pattern).parts
    start = Path()
    for index, part in enumerate(parts):
        if not (start / part).exists():
            return os.path.join(glob.escape(str(start)), *parts[index:]) if index else pattern  # noqa: PTH118
        start /= part
    return pattern
