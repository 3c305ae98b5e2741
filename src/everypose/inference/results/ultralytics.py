"""Ultralytics text files, a file for each photo or frame: ``NAME.txt``, ``NAME_12.txt`` (frames from 1).

A line is a person: ``class cx cy w h x1 y1 s1 x2 y2 s2 ... score [track]``. Box and keypoints are shares of the image's
width and height; ``s`` are keypoint scores. The track is the identity of a tracked person.

Format: ``Results.save_txt`` of https://docs.ultralytics.com/reference/engine/results/ with ``save_conf``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.files import write_text
from everypose.core.geometry import xyxy_to_xywh
from everypose.errors import EveryposeError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

PERSON_CLASS = 0


class UltralyticsWriter(ResultsWriter):
    r"""Writes a folder with one text file for each photo or frame; without people it is empty.

    >>> point = Skeleton("point", ("tip",), (), (), (0.1,))
    >>> people = People([[[16.0, 12.0, 0.5]]], [0.25], point, boxes=[[0, 0, 32, 24]])
    >>> with UltralyticsWriter(Path("labels"), "a") as writer:
    ...     writer.add(FrameResult("a.jpg", people, width=64, height=48))
    >>> Path("labels/a.txt").read_text()
    '0 0.25 0.25 0.5 0.5 0.25 0.25 0.5 0.25\n'
    """

    def __init__(self, path: Path, name: str) -> None:
        """Choose the folder; it is made with the first file.

        Args:
            path: the folder.
            name: what the files' names begin with.
        """
        self.path = path
        self._name = name

    def add(self, result: FrameResult) -> None:
        """Write the file of one photo or frame.

        Raises:
            EveryposeError: if it cannot be written, or the size of the image is unknown.
        """
        number = "" if result.frame is None else f"_{result.frame + 1}"
        write_text(self.path / f"{self._name}{number}.txt", ultralytics_text(result))

    def close(self) -> None:
        """Do nothing: every file is finished."""


def ultralytics_text(result: FrameResult) -> str:
    r"""Return a result as the lines of an Ultralytics file.

    Raises:
        EveryposeError: if the size of the image is unknown.

    >>> point = Skeleton("point", ("tip",), (), (), (0.1,))
    >>> people = People([[[16.0, 12.0, 0.5]]], [0.25], point, boxes=[[0, 0, 32, 24]])
    >>> ultralytics_text(FrameResult("a.jpg", people, width=64, height=48))
    '0 0.25 0.25 0.5 0.5 0.25 0.25 0.5 0.25\n'
    """
    if not (result.width and result.height):
        raise EveryposeError(f"Ultralytics files hold shares of the image's size, and that of {result.file} is unknown")
    people = result.people
    size = np.array([result.width, result.height], dtype=np.float64)
    corners = xyxy_to_xywh(people.boxes)
    boxes = np.concatenate([corners[:, :2] + corners[:, 2:] / 2, corners[:, 2:]], axis=1) / np.tile(size, 2)
    keypoints = people.keypoints.astype(np.float64)
    keypoints[..., :2] /= size
    lines = []
    for index in range(len(people)):
        numbers = [*boxes[index], *keypoints[index].ravel(), float(people.scores[index])]
        identity = [] if people.ids is None else [str(people.ids[index])]
        lines.append(" ".join([str(PERSON_CLASS), *(f"{number:.9g}" for number in numbers), *identity]))
    return "".join(f"{line}\n" for line in lines)


def read_ultralytics(source: Path, skeleton: Skeleton, *, width: int, height: int) -> Iterator[FrameResult]:
    r"""Yield the people of an Ultralytics file, or of all files of a folder.

    Args:
        source: a file or folder.
        skeleton: what the keypoints are: the files do not say it.
        width: width of the images in pixels.
        height: height of the images in pixels.

    Raises:
        EveryposeError: if a file cannot be read or a line does not fit the skeleton.

    >>> _ = Path("b.txt").write_text("0 0.25 0.25 0.5 0.5 0.25 0.25 0.9\n")
    >>> point = Skeleton("point", ("tip",), (), (), (0.1,))
    >>> [result] = read_ultralytics(Path("b.txt"), point, width=64, height=48)
    >>> result.people.keypoints[0, 0, :2].tolist()
    [16.0, 12.0]
    """
    files = sorted(source.glob("*.txt"), key=_place) if source.is_dir() else [source]
    for file in files:
        name, frame = _place(file)
        people = _read_file(file, skeleton, np.array([width, height], dtype=np.float64))
        yield FrameResult(name, people, width, height, None if frame < 0 else frame)


def _place(file: Path) -> tuple[str, int]:
    """Return the name before the frame number and the frame from 0; -1 without a number."""
    match = re.fullmatch(r"(.+)_(\d+)", file.stem)
    return (match[1], int(match[2]) - 1) if match and int(match[2]) else (file.stem, -1)


def _read_file(path: Path, skeleton: Skeleton, size: Float64) -> People:
    """Read one file.

    Raises:
        EveryposeError: if it cannot be read or a line does not fit the skeleton.
    """
    try:
        rows = [np.array(line.split(), dtype=np.float64) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise EveryposeError(f"{path} is not an Ultralytics file: {error}") from error
    count = 5 + 3 * len(skeleton)
    if any(row.size not in (count, count + 1, count + 2) for row in rows) or len({row.size for row in rows}) > 1:
        raise EveryposeError(
            f"{path}: a line does not have {count} numbers, with the score and the track {count + 2}, as the skeleton "
            f"{skeleton.name!r} needs"
        )
    table = np.reshape(rows, (len(rows), -1)) if rows else np.zeros((0, count + 1))
    center, extent = table[:, 1:3] * size, table[:, 3:5] * size
    keypoints = table[:, 5:count].reshape(len(table), len(skeleton), 3)
    keypoints[..., :2] *= size
    scores = table[:, count] if table.shape[1] > count else np.ones(len(table))
    ids = table[:, count + 1] if table.shape[1] > count + 1 else None
    boxes = np.concatenate([center - extent / 2, center + extent / 2], axis=1)
    return People(keypoints, scores, skeleton, boxes=boxes, ids=ids)
