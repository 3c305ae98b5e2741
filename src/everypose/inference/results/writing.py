"""From the names of formats to their writers."""

from collections.abc import Collection
from pathlib import Path

from everypose.errors import UsageError
from everypose.inference.results.coco import CocoWriter, WholeCocoWriter
from everypose.inference.results.csv_table import CsvWriter
from everypose.inference.results.deeplabcut import DeepLabCutWriter
from everypose.inference.results.openpose import BODY_25, COCO_18, OpenPoseWriter
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import ResultsWriter
from everypose.inference.results.trc import TrcWriter
from everypose.inference.results.ultralytics import UltralyticsWriter

TABLES = ("csv", "parquet")
"""Formats with one file for the whole run, in addition to the COCO results list."""
EACH_FRAME = ("openpose", "openpose-coco18", "ultralytics")
"""Formats with one file for each photo or frame."""
EACH_VIDEO = ("trc", "deeplabcut")
"""Formats that describe the movement of tracked people in one video."""


def run_writers(folder: Path, name: str, formats: Collection[str], *, wide: bool, live: bool) -> list[ResultsWriter]:
    """Open the files of a whole run: the COCO results list, and the tables that are wanted.

    Args:
        folder: where they are written.
        name: of the files, without suffix.
        formats: of `TABLES`.
        wide: whether tables have a row for each person instead of one for each keypoint.
        live: whether the list is complete after every frame; otherwise it appears at the end of the run.

    Raises:
        EveryposeError: if a file cannot be written.
        UsageError: if a package for a format is missing.
    """
    list_of_people: ResultsWriter = (CocoWriter if live else WholeCocoWriter)(folder / f"{name}.json")
    writers = [list_of_people]
    if "csv" in formats:
        writers.append(CsvWriter(folder / f"{name}.csv", wide=wide))
    if "parquet" in formats:
        writers.append(ParquetWriter(folder / f"{name}.parquet", wide=wide))
    return writers


def frame_writers(folder: Path, name: str, formats: Collection[str], *, in_folders: bool) -> list[ResultsWriter]:
    """Return the writers of the formats with a file for each photo or frame.

    Args:
        folder: of the run.
        name: of the photo or video.
        formats: of `EACH_FRAME`.
        in_folders: whether the files lie in a folder of this name, as for videos.
    """
    made: dict[str, ResultsWriter] = {}
    for one in EACH_FRAME:
        place = folder / one / name if in_folders else folder / one
        if one == "ultralytics":
            made[one] = UltralyticsWriter(place, name)
        else:
            made[one] = OpenPoseWriter(place, name, layout=BODY_25 if one == "openpose" else COCO_18)
    return [made[one] for one in EACH_FRAME if one in formats]


def movement_writers(folder: Path, name: str, formats: Collection[str]) -> list[ResultsWriter]:
    """Return the writers of the formats with files for each video.

    Args:
        folder: of the run.
        name: of the video.
        formats: of `EACH_VIDEO`.
    """
    writers: list[ResultsWriter] = []
    if "trc" in formats:
        writers.append(TrcWriter(folder / "trc", name))
    if "deeplabcut" in formats:
        writers.append(DeepLabCutWriter(folder / "deeplabcut" / f"{name}.csv"))
    return writers


def parse_formats(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the formats of a list like ``csv,openpose``.

    >>> parse_formats("csv, openpose", ("csv", "openpose", "trc"))
    ('csv', 'openpose')

    Raises:
        UsageError: if one is unknown.
    """
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in chosen:
        if part not in known:
            raise UsageError(f"--save {part} is unknown: choose from {', '.join(known)}")
    return chosen
