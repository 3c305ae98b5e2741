"""COCO results lists: a JSON list with an entry for each person.

Besides COCO's ``image_id``, ``category_id``, ``keypoints`` (x, y, score for each), ``score`` and ``bbox`` (x, y, width,
height), entries have ``file_name`` and, for videos, ``frame`` (from 0), ``time`` (seconds) and ``track_id``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

from everypose.core.files import read_json, text_name, written_whole
from everypose.core.growing_file import GrowingFile
from everypose.errors import EveryposeError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

Entry = dict[str, Any]
LARGEST_TIME = 1e12
"""Seconds; larger ones, and what is not finite, are no times."""
_EMPTY, _END = b"[]\n", b"\n]\n"


def coco_entries(result: FrameResult) -> list[Entry]:
    """Return the entries of one result.

    >>> people = People.empty(Skeleton.named("coco"))
    >>> coco_entries(FrameResult("crowd.jpg", people, image_id=7))
    []
    """
    file: Entry = {"file_name": text_name(Path(result.file).name)}
    moment: Entry = {} if result.frame is None else {"frame": result.frame, "time": result.time}
    number = 0 if result.image_id is None else result.image_id
    return [{"image_id": entry["image_id"]} | file | entry | moment for entry in result.people.to_coco(number)]


class CocoWriter(ResultsWriter):
    """Writes a COCO results list that is complete after every frame, also if the run is killed.

    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> with CocoWriter(Path("live.json")) as writer:
    ...     writer.add(FrameResult("a.jpg", people, image_id=7))
    ...     complete = json.loads(Path("live.json").read_text())  # at any time
    >>> [entry["image_id"] for entry in complete]
    [7]
    """

    def __init__(self, path: Path) -> None:
        """Create the file with an empty list.

        Raises:
            EveryposeError: if the file cannot be written.
        """
        self.path = path
        self._file = GrowingFile(path)
        self._file.append(_EMPTY)
        self._is_empty = True

    def add(self, result: FrameResult) -> None:
        """Append the people of one frame.

        Raises:
            EveryposeError: if the disk is full.
        """
        entries = b",\n".join(json.dumps(entry, allow_nan=False).encode() for entry in coco_entries(result))
        if entries and self._is_empty:
            self._file.append(b"[\n" + entries + _END, replacing=len(_EMPTY))
        elif entries:
            self._file.append(b",\n" + entries + _END, replacing=len(_END))
        self._is_empty = self._is_empty and not entries

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class WholeCocoWriter(ResultsWriter):
    """Writes a COCO results list that appears when it is finished, and not at all if the run ends with an error.

    Entries go to the disk as they come: a list of a million people takes no memory.

    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> with WholeCocoWriter(Path("whole.json")) as writer:
    ...     writer.add(FrameResult("a.jpg", people, image_id=7))
    ...     print(Path("whole.json").exists())
    False
    >>> Path("whole.json").exists()
    True
    """

    def __init__(self, path: Path) -> None:
        """Create a temporary file.

        Raises:
            EveryposeError: if the folder cannot be written.
        """
        self.path = path
        self._stack = ExitStack()
        part = self._stack.enter_context(written_whole(path))
        self._file = self._stack.enter_context(part.open("w", encoding="utf-8"))
        self._before = "[\n"

    def add(self, result: FrameResult) -> None:
        """Append the people of one image.

        Raises:
            EveryposeError: if the disk is full.
        """
        for entry in coco_entries(result):
            self._file.write(self._before + json.dumps(entry, allow_nan=False))
            self._before = ",\n"

    def close(self) -> None:
        """Finish the list and move it to its place.

        Raises:
            EveryposeError: if the disk is full.
        """
        with self._stack:  # it also removes the temporary file if the disk is full
            self._file.write("[]\n" if self._before == "[\n" else "\n]\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)


def read_coco_results(path: Path, skeleton: Skeleton) -> Iterator[FrameResult]:
    """Yield the results of a COCO results list; consecutive entries of one image are one result.

    Args:
        path: the JSON file.
        skeleton: what the keypoints are: the list does not say it.

    Raises:
        EveryposeError: if the file is not a COCO results list with keypoints of this skeleton.

    >>> entry = {"image_id": 7, "file_name": "a.jpg", "keypoints": [1.5, 2.5, 0.9], "score": 0.8}
    >>> _ = Path("poses.json").write_text(json.dumps([entry, entry]))
    >>> results = read_coco_results(Path("poses.json"), Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> [(result.file, len(result.people)) for result in results]
    [('a.jpg', 2)]
    """
    for (image_id, file, frame), group in groupby(read_entries(path), _image_of):
        own = list(group)
        time = own[0].get("time")
        if not (isinstance(image_id, int) and isinstance(frame, int | None) and isinstance(time, float | int | None)):
            raise EveryposeError(f"{path}: an entry of {file} has an image_id, a frame or a time that is not a number")
        if time is not None and not abs(time) < LARGEST_TIME:
            raise EveryposeError(f"{path}: an entry of {file} has the time {time}, which is not a number of seconds")
        people = read_people(path, own, skeleton)
        yield FrameResult(str(file), people, frame=frame, time=time, image_id=image_id)


def read_entries(path: Path) -> list[Entry]:
    """Return the entries of a COCO results list as they are.

    Raises:
        EveryposeError: if the file is not a JSON list of objects.

    >>> _ = Path("not_a_list.json").write_text("{}")
    >>> read_entries(Path("not_a_list.json"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: not_a_list.json is not a COCO results list
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise EveryposeError(f"{path} is not a COCO results list")
    return entries


def read_people_by_image(path: Path, skeleton: Skeleton) -> dict[int, People]:
    """Return the people of each image of a COCO results list, by ``image_id``.

    Args:
        path: the JSON file.
        skeleton: what the keypoints are.

    Raises:
        EveryposeError: if the file is not a COCO results list with keypoints of this skeleton.

    >>> entries = [{"image_id": i, "keypoints": [1.5, 2.5, 0.9], "score": 0.8} for i in (7, 9, 7)]
    >>> _ = Path("images.json").write_text(json.dumps(entries))
    >>> found = read_people_by_image(Path("images.json"), Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> {image_id: len(people) for image_id, people in found.items()}
    {7: 2, 9: 1}
    """
    groups: dict[int, list[Entry]] = {}
    for place, entry in enumerate(read_entries(path)):
        if not isinstance(entry.get("image_id"), int):
            raise EveryposeError(f"{path}: entry {place} has no image_id that is a whole number")
        groups.setdefault(entry["image_id"], []).append(entry)
    return {image_id: read_people(path, own, skeleton) for image_id, own in groups.items()}


def read_people(path: Path, entries: Sequence[Entry], skeleton: Skeleton) -> People:
    """Return the people of one image's entries.

    Args:
        path: the file that the entries are from, for messages.
        entries: of one image.
        skeleton: what the keypoints are.

    Raises:
        EveryposeError: if an entry has no keypoints of this skeleton.

    >>> read_people(Path("poses.json"), [{"keypoints": [1.5]}], Skeleton("point", ("tip",), (), (), (0.1,)))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: poses.json: the list: entry 0 is not a pose: ...
    """
    try:
        return People.from_coco(entries, skeleton)
    except EveryposeError as error:
        raise EveryposeError(f"{path}: {error}") from error


def _image_of(entry: Mapping[str, object]) -> tuple[object, object, object]:
    return entry.get("image_id"), entry.get("file_name", ""), entry.get("frame")
