"""Tables of people, a row for each keypoint (long) or for each person (wide), and back to results.

The columns of a long table:

- ``file``: the photo or video. ``frame``: number of the frame from 0. ``time_s``: when it is shown, in seconds. The
  last two are empty for photos.
- ``person``: position of the person in the frame, from 0, by falling score. ``track_id``: identity in the video, empty
  without tracking. ``person_score``. ``box_x1``, ``box_y1``, ``box_x2``, ``box_y2`` in pixels. ``skeleton``: its name.
- ``keypoint``: its name. ``x``, ``y`` in pixels, pixel centers at whole numbers. ``score``.

A wide table has ``nose_x``, ``nose_y``, ``nose_score`` and so on in place of the last four. A frame without people
has no row.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError, UsageError, plain_reason
from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

Columns = dict[str, npt.NDArray[np.generic] | None]
Row = Mapping[str, str | float | int | None]
"""One row of a table by column; None and the empty string are empty cells."""

FRAME_COLUMNS = ("file", "frame", "time_s")
BOX_COLUMNS = ("box_x1", "box_y1", "box_x2", "box_y2")
PERSON_COLUMNS = ("person", "track_id", "person_score", *BOX_COLUMNS, "skeleton")
KEYPOINT_COLUMNS = ("keypoint", "x", "y", "score")
LONG_COLUMNS = (*FRAME_COLUMNS, *PERSON_COLUMNS, *KEYPOINT_COLUMNS)


def wide_columns(skeleton: Skeleton) -> tuple[str, ...]:
    """Return the names of a wide table's columns.

    >>> wide_columns(Skeleton.named("coco"))[11:14]
    ('nose_x', 'nose_y', 'nose_score')
    """
    named = (f"{name}_{axis}" for name in skeleton.keypoints for axis in ("x", "y", "score"))
    return (*FRAME_COLUMNS, *PERSON_COLUMNS, *named)


def table_of(result: FrameResult, *, wide: bool) -> Columns:
    """Return a result as columns of equal length, in a table's order; None where all cells are empty.

    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> columns = table_of(FrameResult("a.jpg", people), wide=False)
    >>> columns["keypoint"][:2].tolist(), columns["frame"]
    (['nose', 'left_eye'], None)
    """
    table = result.people.to_table(wide=wide)
    rows = len(table["person"])
    columns: Columns = {
        "file": np.full(rows, result.file),
        "frame": None if result.frame is None else np.full(rows, result.frame),
        "time_s": None if result.time is None else np.full(rows, result.time),
        "person": table.pop("person"),
        "track_id": table.pop("track_id", None),
    }
    return columns | table


def results_of(rows: Iterable[Row], columns: Sequence[str], where: str) -> Iterator[FrameResult]:
    """Yield the results of a table; consecutive rows of one file and frame are one result.

    Args:
        rows: the rows.
        columns: the names of their columns, in any order; others than those of everypose are ignored.
        where: the file, for error messages.

    Raises:
        EveryposeError: if a column is missing or a row is not as everypose writes it; the message names it.

    >>> row = {"file": "a.jpg", "frame": None, "time_s": None, "person": 0, "track_id": None, "person_score": 0.9}
    >>> row |= dict.fromkeys(BOX_COLUMNS, 1.0) | {"skeleton": "point"}
    >>> row |= {"keypoint": "tip", "x": 1.5, "y": 2.5, "score": 0.9}
    >>> [result] = results_of([row], LONG_COLUMNS, "table.csv")
    >>> result.file, result.people.keypoints[0, 0, :2].tolist()
    ('a.jpg', [1.5, 2.5])
    """
    is_wide = "keypoint" not in columns
    names = _wide_keypoints(columns) if is_wide else ()
    missing = [name for name in LONG_COLUMNS if name not in columns]
    if is_wide:
        missing = [name for name in missing if name not in KEYPOINT_COLUMNS]
    if missing or (is_wide and not names):
        lack = f"it has no column {missing[0]!r}" if missing else "it has no columns of keypoints"
        raise EveryposeError(f"{where} is not a table of everypose: {lack}")
    skeletons = _Skeletons()
    frames = groupby(rows, lambda row: (row["file"], row["frame"]))
    for number, ((file, frame), group) in enumerate(frames):
        people = groupby(group, lambda row: row["person"])
        try:
            result = _result([list(own) for _, own in people], names, skeletons)
        except (TypeError, ValueError, OverflowError, EveryposeError) as error:
            if number and next(frames, None) is None:
                return  # the last frame of a run that was killed
            place = f"{where}: {file}, frame {frame or 0}"
            raise EveryposeError(f"{place}, is not a table of people: {plain_reason(error)}") from error
        yield result


def _wide_keypoints(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the keypoints that have a column each for x, y and score."""
    present = set(columns)
    names = (name.removesuffix("_score") for name in columns if name.endswith("_score"))
    return tuple(name for name in names if f"{name}_x" in present and f"{name}_y" in present)


class _Skeletons:
    """Skeletons by name and keypoints: known ones, and others without links and sigmas."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, tuple[str, ...]], Skeleton] = {}

    def find(self, name: str, keypoints: tuple[str, ...]) -> Skeleton:
        """Return the known skeleton of that name if it has these keypoints, otherwise one made of them."""
        if (name, keypoints) not in self._made:
            try:
                known: Skeleton | None = Skeleton.named(name)
            except UsageError:
                known = None
            if known is None or known.keypoints != keypoints:
                known = Skeleton(name, keypoints, (), (), None)
            self._made[name, keypoints] = known
        return self._made[name, keypoints]


def _result(people: list[list[Row]], names: tuple[str, ...], skeletons: _Skeletons) -> FrameResult:
    """Return the result of one frame.

    Args:
        people: the rows of each person: one of a wide table, K of a long one.
        names: the keypoints of a wide table; empty for a long one.
        skeletons: finds skeletons.
    """
    keypoints = names or tuple(str(row["keypoint"]) for row in people[0])
    first = [rows[0] for rows in people]
    if names:
        cells = [f"{name}_{axis}" for name in names for axis in ("x", "y", "score")]
        values = [[_number(row[cell]) for cell in cells] for row in first]
    else:
        if any(tuple(row["keypoint"] for row in rows) != keypoints for rows in people):
            raise ValueError("not every person has the same keypoints")
        values = [[_number(row[axis]) for row in rows for axis in ("x", "y", "score")] for rows in people]
    ids = [_integer(row["track_id"]) for row in first]
    found = People(
        np.reshape(values, (len(people), len(keypoints), 3)),
        [_number(row["person_score"]) for row in first],
        skeletons.find(str(first[0]["skeleton"]), keypoints),
        boxes=[[_number(row[column]) for column in BOX_COLUMNS] for row in first],
        ids=[number for number in ids if number is not None] if None not in ids else None,
    )
    time = first[0]["time_s"]
    seconds = None if time is None or time == "" else float(time)
    if seconds is not None and not math.isfinite(seconds):
        raise ValueError(f"the time {time} is not a finite number")
    return FrameResult(str(first[0]["file"]), found, frame=_integer(first[0]["frame"]), time=seconds)


def _number(cell: str | float | int | None) -> float:
    """Return a cell's number; an empty cell is a keypoint that was not found: 0."""
    return 0.0 if cell is None or cell == "" else float(cell)


def _integer(cell: str | float | int | None) -> int | None:
    return None if cell is None or cell == "" else int(cell)
