"""The inputs of a run: files, folders, globs, lists, cameras and addresses become images and videos with names."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from everypose.data.discovery.search import VIDEO_SUFFIXES, files_of, is_camera, is_stream
from everypose.data.discovery.walk import Skipped
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.web_images import file_of_address, is_web_address, is_web_image, name_of_address, without_password
from everypose.errors import UsageError

LARGEST_ID = 2**53
"""JSON readers that keep numbers as doubles hold integers below this one exactly."""


@dataclass(frozen=True)
class Source:
    """One image of a run.

    Attributes:
        path: the file; of an image on the web, its name only.
        name: what its output files are called, without suffix; unique in the run.
        image_id: its number in COCO results.
        address: where it is on the web; None for a file.

    >>> Source(Path("photos/a.jpg"), name="a", image_id=1).label == str(Path("photos/a.jpg"))
    True
    """

    path: Path
    name: str
    image_id: int
    address: str | None = None

    @property
    def label(self) -> str:
        """What messages and tables call it: its path, or its address without a password."""
        return str(self.path) if self.address is None else without_password(self.address)


@dataclass(frozen=True)
class VideoInput:
    """One video of a run.

    Attributes:
        source: a path, the number of a camera, an address, or the image files that are its frames.
        name: what its output files are called, without suffix; unique in the run.
        label: what messages and tables call it.

    >>> VideoInput("0", name="camera_0", label="camera 0").label
    'camera 0'
    """

    source: str | tuple[Path, ...]
    name: str
    label: str


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        images: images in the order named.
        videos: videos in the order named.
        skipped: what searches met and could not use: folders that cannot be entered, pipes, devices, broken links.

    >>> Inputs([Source(Path("a.jpg"), "a", 1)], videos=[], skipped=[]).images[0].name
    'a'
    """

    images: list[Source]
    videos: list[VideoInput]
    skipped: list[Skipped]


def find_inputs(
    sources: Sequence[str], listed: Iterable[bytes] = (), *, skip: Path | None = None, as_video: bool = False
) -> Inputs:
    """Find the images and videos that the user named.

    Files are taken as they are: those with a video's suffix are videos, others images. Folders and globs are searched
    as in `find_images`, for videos, too. A number that is not a file is a camera. ``rtsp://`` addresses are videos;
    ``http(s)://`` addresses are images or videos by their suffix, or by what the server says.

    Args:
        sources: files, folders, globs, cameras and addresses; "-" stands for the list.
        listed: the list, one source a line.
        skip: a folder whose content is left out when a search meets it: the output folder.
        as_video: the images of each source are the frames of one video.

    Raises:
        UsageError: if something named is missing or contains neither images nor videos.

    >>> Path("photos").mkdir()
    >>> Path("photos/a.jpg").touch()
    >>> found = find_inputs(["photos", "clip.mp4"])
    >>> [image.name for image in found.images], [video.name for video in found.videos]
    (['a'], ['clip'])
    """
    skipped: list[Skipped] = []
    images: dict[str, str | Path] = {}
    videos: dict[str, tuple[str | tuple[Path, ...], str]] = {}
    for title, lines in _by_source(sources, listed, as_video=as_video):
        frames: list[Path] = []
        for line in lines:
            if is_camera(line) or is_stream(line) or (is_web_address(line) and not is_web_image(line)):
                videos.setdefault(line, (line, f"camera {line}" if is_camera(line) else without_password(line)))
            elif is_web_address(line):
                images.setdefault(line, line)
            else:
                for path in files_of(line, skip, skipped, IMAGE_SUFFIXES | VIDEO_SUFFIXES):
                    real = os.path.realpath(path)
                    if path.suffix.lower() in VIDEO_SUFFIXES:
                        videos.setdefault(real, (str(path), str(path)))
                    elif as_video:
                        frames.append(path)
                    else:
                        images.setdefault(real, path)
        if frames:
            videos.setdefault(title, (tuple(frames), title))
    if not images and not videos:
        raise UsageError(skipped[0].reason if skipped else _NOTHING_NAMED)
    return _named(list(images.values()), list(videos.values()), skipped)


_NOTHING_NAMED = "no image or video is named: give files, folders or globs, or a list on standard input after -"


def _by_source(sources: Sequence[str], listed: Iterable[bytes], *, as_video: bool) -> Iterable[tuple[str, list[str]]]:
    """Yield the named sources, each with the lines that it stands for; named files of a video are one, the last."""
    files: list[str] = []
    for source in sources:
        if source == "-":
            yield "list", list(_lines(listed))
        elif as_video and Path(source).is_file():
            files.append(source)
        else:
            yield source, [source]
    if files:
        yield "frames", files


def _lines(listed: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a list, without blank ones."""
    lines = (os.fsdecode(line).strip("\r\n") for line in listed)
    return (line for line in lines if line.strip())


def _named(
    images: list[str | Path], videos: list[tuple[str | tuple[Path, ...], str]], skipped: list[Skipped]
) -> Inputs:
    """Give all inputs names that differ, and the images their numbers."""
    paths = [Path(file_of_address(image)) if isinstance(image, str) else image for image in images]
    titles = [Path(f"{_title(source, label)}.mp4") for source, label in videos]
    names = unique_names([*paths, *titles])
    found = [
        Source(path, name, number, image if isinstance(image, str) else None)
        for image, path, name, number in zip(images, paths, names, image_ids(paths) if paths else [], strict=False)
    ]
    clips = [VideoInput(source, name, label) for (source, label), name in zip(videos, names[len(paths) :], strict=True)]
    return Inputs(found, clips, skipped)


def _title(source: str | tuple[Path, ...], label: str) -> str:
    """Return what the output files of a video are called."""
    if not isinstance(source, str):
        return Path(label).name.replace("*", "").replace("?", "") or "frames"
    if is_camera(source):
        return f"camera_{source}"
    return name_of_address(source) if is_web_address(source) or is_stream(source) else Path(source).stem


def find_images(
    sources: Sequence[str],
    listed: Iterable[bytes] = (),
    *,
    skip: Path | None = None,
    skipped: list[Skipped] | None = None,
) -> list[Source]:
    """Find the image files that the user named.

    Files are taken as they are, whatever their suffix; folders are searched with all their subfolders, in sorted
    order, for files with an image's suffix, hidden ones left out; a name that does not exist and contains ``*``, ``?``
    or ``[`` is a glob. An image that is named twice is taken once.

    Args:
        sources: files, folders and globs; "-" stands for the list.
        listed: the list, one file, folder or glob a line.
        skip: a folder whose content is left out when a search meets it: the output folder.
        skipped: receives what searches of folders and globs met and cannot use: folders that cannot be entered, named
            pipes, devices, broken links.

    Raises:
        UsageError: if something named is missing, contains no image, or is a video.

    >>> from everypose.inference.device_check import pictures
    >>> images = find_images([str(pictures()[0])])
    >>> len(images)
    1
    """
    paths: dict[str, Path] = {}
    problems = [] if skipped is None else skipped
    for source in sources:
        for line in _lines(listed) if source == "-" else filter(str.strip, [source]):
            if Path(line).suffix.lower() in VIDEO_SUFFIXES - IMAGE_SUFFIXES and Path(line).is_file():
                raise UsageError(f"{line} is a video, and only images are read here: save its frames as images first")
            for path in files_of(line, skip, problems, IMAGE_SUFFIXES):
                paths.setdefault(os.path.realpath(path), path)
    if not paths and problems:
        raise UsageError(problems[0].reason)
    if not paths:
        raise UsageError("no image is named: give files, folders or globs, or a list on standard input after -")
    found = list(paths.values())
    return [Source(*each) for each in zip(found, unique_names(found), image_ids(found), strict=True)]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return names for output files: the stems of the files; a second ``a`` is ``a_2``.

    Names differ in more than upper and lower case, because some file systems ignore case.

    >>> unique_names([Path("x/a.jpg"), Path("y/a.png")])
    ['a', 'a_2']
    """
    # A file's name may have 255 bytes; output files add a number and another suffix.
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
    """Return the number at the end of each file's name, as in COCO; 1, 2, 3 ... unless all have one and all differ.

    >>> image_ids([Path("000000000139.jpg"), Path("42.jpg")]), image_ids([Path("a.jpg"), Path("42.jpg")])
    ([139, 42], [1, 2])
    """
    matches = [re.search(r"[0-9]+$", path.stem) for path in paths]
    numbers = [int(match[0]) for match in matches if match]
    if len(set(numbers)) < len(paths) or max(numbers) >= LARGEST_ID:
        return list(range(1, len(paths) + 1))
    return numbers
