"""From files, folders, patterns and addresses to the images, archives and videos of a bulk run."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from everypose.bulk.addresses import find_addresses, is_address, name_of
from everypose.bulk.sources.clips import SEGMENT_SECONDS, clips_of
from everypose.bulk.sources.found import TABLE_SUFFIX, Archive, Sources, TableOptions, is_archive
from everypose.core.files import exists, text_name
from everypose.core.progress import track
from everypose.data.discovery.search import VIDEO_SUFFIXES, files_of
from everypose.data.discovery.walk import Skipped
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.tars import TAR_SUFFIXES, expand_range
from everypose.data.web_images import is_web_address, is_web_image
from everypose.errors import UsageError

ARCHIVE_SUFFIXES = {Path(f"x{suffix}").suffix for suffix in (*TAR_SUFFIXES, TABLE_SUFFIX)}
SUFFIXES = IMAGE_SUFFIXES | ARCHIVE_SUFFIXES | VIDEO_SUFFIXES
"""Suffixes of the files that searches find; of ``.gz`` files only ``.tar.gz``."""


def find_sources(
    sources: Sequence[str],
    listed: Iterable[bytes] = (),
    *,
    out: Path,
    table: TableOptions | None = None,
    segment_seconds: float = SEGMENT_SECONDS,
    quiet: bool = False,
    skipped: list[Skipped] | None = None,
) -> Sources:
    """Find the images, archives and videos of a bulk run.

    Tars, Parquet tables and videos are recognized by their suffix; any other file is read as an image. Folders, globs
    and prefixes of object stores are searched for files with known suffixes. ``set-{000..127}.tar`` stands for 128
    names. A file that is named twice is processed once.

    Args:
        sources: files, folders, globs and addresses; "-" stands for the list.
        listed: the list, one source a line.
        out: the output folder, which searches leave out and which receives the segments of videos.
        table: how Parquet tables are read.
        segment_seconds: least length of a segment of a video.
        quiet: show no progress.
        skipped: receives files and folders that searches could not use.

    Raises:
        UsageError: if something named is missing or contains no images.
        MissingDependencyError: if there are videos and PyAV is not installed.
        EveryposeError: if an object store cannot be read.

    >>> Path("photos").mkdir()
    >>> for name in ("a.jpg", "b.png", "notes.txt"):
    ...     Path("photos", name).touch()
    >>> [Path(name).name for name in find_sources(["photos"], out=Path("poses")).images]
    ['a.jpg', 'b.png']
    """
    images: dict[str, str] = {}
    archives: dict[str, Archive] = {}
    videos: dict[str, str] = {}
    problems = [] if skipped is None else skipped
    seen: set[str] = set()
    for line in _lines(sources, listed):
        for key, place, identity in _places(line, out, problems):
            if identity in seen:
                continue
            seen.add(identity)
            if is_archive(key):
                archives[key] = Archive(key, place, table or TableOptions())
            elif Path(key).suffix.lower() in VIDEO_SUFFIXES:
                videos[key] = place
            else:
                images[key] = place
    if not images and not archives and not videos:
        raise UsageError(problems[0].reason if problems else _NOTHING_NAMED)
    clips = [
        clip
        for key in track(sorted(videos), "reading videos", quiet=quiet)
        for clip in clips_of(key, videos[key], out=out, seconds=segment_seconds)
    ]
    return Sources(images, [archives[key] for key in sorted(archives)], clips)


_NOTHING_NAMED = "no image is named: give files, folders, globs or addresses, or a list on standard input after -"


def _lines(sources: Sequence[str], listed: Iterable[bytes]) -> Iterator[str]:
    """Yield the sources, with the entries of the list in place of "-", and ranges expanded."""
    for source in sources:
        lines = (os.fsdecode(line).strip("\r\n") for line in listed) if source == "-" else iter([source])
        for line in lines:
            if line.strip():
                yield from [line] if exists(line) else expand_range(line)


def _places(line: str, skip: Path | None, skipped: list[Skipped]) -> Iterator[tuple[str, str, str]]:
    """Yield key, path or address, and identity (equal for two names of one file) of each file of a source."""
    if is_web_address(line) and (is_web_image(line) or not is_archive(line)):
        yield name_of(line), line, line
    elif is_address(line):
        for address in find_addresses(line, SUFFIXES):
            if Path(address).suffix.lower() not in ARCHIVE_SUFFIXES or is_archive(address):
                yield name_of(address), address, address
    else:
        for path in files_of(line, skip, skipped, SUFFIXES):
            if path.suffix.lower() not in ARCHIVE_SUFFIXES or is_archive(path.name) or str(path) == line:
                yield text_name(str(path)), str(path), _real_path(path)


def _real_path(path: Path) -> str:
    """Return the path without links; faster for many files of a folder than `os.path.realpath`."""
    if path.is_symlink():
        return os.path.realpath(path)
    return os.path.join(_real_folder(str(path.absolute().parent)), path.name)  # noqa: PTH118  # faster


@lru_cache(maxsize=16)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
