"""DeepLabCut tables: a CSV with four header rows (scorer, individuals, bodyparts, coords) and a row for each frame.

Coordinates are x, y in pixels and a likelihood, the keypoint's score. Individuals are the tracked people, ``person3``
for the identity 3; cells of people who are not in a frame are empty.

Format: https://deeplabcut.github.io/DeepLabCut/docs/standardDeepLabCut_UserGuide.html
"""

import csv
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from everypose.core.files import written_whole
from everypose.errors import EveryposeError, first_line
from everypose.inference.results.record import FrameResult
from everypose.inference.results.tracked_rows import TrackedRows, TrackedWriter
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton, recognize

SCORER = "everypose"
COORDS = ("x", "y", "likelihood")
MOST_CELLS = 200_000_000


class DeepLabCutWriter(TrackedWriter):
    """Writes one table for a video when it is closed: the header names everyone who appears in it.

    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)), ids=[4])
    >>> with DeepLabCutWriter(Path("clip.csv")) as writer:
    ...     writer.add(FrameResult("clip.mp4", people, frame=0, time=0.0))
    >>> print(Path("clip.csv").read_text())
    scorer,everypose,everypose,everypose
    individuals,person4,person4,person4
    bodyparts,tip,tip,tip
    coords,x,y,likelihood
    0,1.5,2.5,0.9
    """

    def write(self, collected: TrackedRows) -> None:
        """Write the table.

        Raises:
            EveryposeError: if it cannot be written, or would have more than `MOST_CELLS` cells.
        """
        rows = collected.rows()
        ids = np.unique(rows["id"]).tolist()
        keypoints = collected.skeleton.keypoints if collected.skeleton else ()
        columns = len(ids) * len(keypoints) * len(COORDS)
        if columns * len(collected.frames) > MOST_CELLS:
            raise EveryposeError(
                f"{self.path}: {len(ids)} people in {len(collected.frames)} frames are too many; use csv"
            )
        with written_whole(self.path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["scorer", *[SCORER] * columns])
            writer.writerow(["individuals", *(f"person{i}" for i in ids for _ in range(len(keypoints) * len(COORDS)))])
            writer.writerow(["bodyparts", *(name for _ in ids for name in keypoints for _ in COORDS)])
            writer.writerow(["coords", *(axis for _ in ids for _ in keypoints for axis in COORDS)])
            empty = [""] * (len(keypoints) * len(COORDS))
            # Once for all frames: each search copies the positions, which are not contiguous in the rows.
            ends = np.searchsorted(rows["position"], np.arange(len(collected.frames)), side="right").tolist()
            for frame, start, end in zip(collected.frames, [0, *ends], ends, strict=False):
                cells = {int(row["id"]): row["keypoints"].ravel().astype(str).tolist() for row in rows[start:end]}
                writer.writerow([frame, *(cell for i in ids for cell in cells.get(i, empty))])


def read_deeplabcut(path: Path) -> Iterator[FrameResult]:
    """Yield the people of a DeepLabCut table of one or several individuals.

    A person's score is the mean likelihood of their keypoints. The identity is the number at the end of the
    individual's name, or the position in the header where not every name has one. Times are not in the format.

    Raises:
        EveryposeError: if the file cannot be read or is not a DeepLabCut table.

    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)), ids=[4])
    >>> with DeepLabCutWriter(Path("again.csv")) as writer:
    ...     writer.add(FrameResult("clip.mp4", people, frame=0, time=0.0))
    >>> [(result.frame, result.people.ids.tolist()) for result in read_deeplabcut(Path("again.csv"))]
    [(0, [4])]
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = {row[0]: row[1:] for row in islice(reader, 3)}
            if "coords" not in header:
                header["coords"] = next(reader)[1:]
            individuals = header.get("individuals", ["person0"] * len(header["coords"]))
            layout = _Layout(individuals, header["bodyparts"], header["coords"], path)
            for row in reader:
                yield FrameResult(path.stem, layout.people(row[1:]), frame=int(row[0]))
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, IndexError, StopIteration, ValueError, OverflowError, csv.Error) as error:
        raise EveryposeError(f"{path} is not a DeepLabCut table: {first_line(error)}") from error


class _Layout:
    """Which column of a DeepLabCut table holds what."""

    def __init__(self, individuals: list[str], parts: list[str], coords: list[str], path: Path) -> None:
        names = list(dict.fromkeys(individuals))
        keypoints = tuple(dict.fromkeys(parts))
        wanted = [(name, part, axis) for name in names for part in keypoints for axis in COORDS]
        if list(zip(individuals, parts, coords, strict=True)) != wanted:
            raise ValueError("not every individual has x, y and likelihood of the same bodyparts")
        self._skeleton = recognize(keypoints) or Skeleton(path.stem, keypoints, (), (), None)
        numbers = [int(match[0]) for name in names if (match := re.search(r"\d+$", name))]
        self._ids = np.array(numbers if len(set(numbers)) == len(names) else range(len(names)))

    def people(self, cells: list[str]) -> People:
        """Return the people of one row; an individual without any cell is not there."""
        shape = (len(self._ids), len(self._skeleton), len(COORDS))
        if len(cells) != math.prod(shape):
            raise ValueError(f"a row has {len(cells)} cells after the frame, not {math.prod(shape)}")
        values = np.array([float(cell) if cell else np.nan for cell in cells]).reshape(shape)
        there = ~np.isnan(values).all(axis=(1, 2))
        keypoints = np.nan_to_num(values[there])
        return People(keypoints, keypoints[..., 2].mean(axis=1), self._skeleton, ids=self._ids[there])
