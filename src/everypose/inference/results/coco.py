"""COCO results lists: a JSON list with an entry for each person.

Besides COCO's ``image_id``, ``category_id``, ``keypoints`` (x, y, score for each), ``score`` and ``bbox`` (x, y, width,
height), entries have ``file_name`` and, for videos, ``frame`` (from 0), ``time`` (seconds) and ``track_id``.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from everypose.core.files import read_json
from everypose.core.growing_file import GrowingFile
from everypose.errors import EveryposeError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

Entry = dict[str, Any]
_EMPTY, _END = b"[]\n", b"\n]\n"


def coco_entries(result: FrameResult) -> list[Entry]:
    """Return the entries of one result.

    >>> people = People.empty(Skeleton.named("coco"))
    >>> coco_entries(FrameResult("crowd.jpg", people, image_id=7))
    []
    """
    file: Entry = {"file_name": Path(result.file).name}
    moment: Entry = {} if result.frame is None else {"frame": result.frame, "time": result.time}
    number = 0 if result.image_id is None else result.image_id
    return [{"image_id": entry["image_id"]} | file | entry | moment for entry in result.people.to_coco(number)]


class CocoWriter(ResultsWriter):
    """Writes a COCO results list that is complete after every frame, also if the run is killed."""

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


def read_coco_results(path: Path, skeleton: Skeleton) -> Iterator[FrameResult]:
    """Yield the results of a COCO results list; consecutive entries of one image are one result.

    Args:
        path: the JSON file.
        skeleton: what the keypoints are: the list does not say it.

    Raises:
        EveryposeError: if the file is not a COCO results list with keypoints of this skeleton.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise EveryposeError(f"{path} is not a COCO results list")
    for (image_id, file, frame), group in groupby(entries, _image_of):
        own = list(group)
        time = own[0].get("time")
        if not (isinstance(image_id, int) and isinstance(frame, int | None) and isinstance(time, float | int | None)):
            raise EveryposeError(f"{path}: an entry of {file} has an image_id, a frame or a time that is not a number")
        people = People.from_coco(own, skeleton)
        yield FrameResult(str(file), people, frame=frame, time=time, image_id=image_id)


def _image_of(entry: Mapping[str, object]) -> tuple[object, object, object]:
    return entry.get("image_id"), entry.get("file_name", ""), entry.get("frame")
