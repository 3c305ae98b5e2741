"""The result formats of ``--save``, and their writers.

To add a format, write a module with a `ResultsWriter` and add a line to `FORMATS`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from everypose.errors import UsageError
from everypose.inference.results.coco import CocoWriter, WholeCocoWriter
from everypose.inference.results.csv_table import CsvWriter
from everypose.inference.results.deeplabcut import DeepLabCutWriter
from everypose.inference.results.openpose import BODY_25, COCO_18, OpenPoseWriter
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import ResultsWriter
from everypose.inference.results.rerun import RerunWriter
from everypose.inference.results.trc import TrcWriter
from everypose.inference.results.ultralytics import UltralyticsWriter


class Scope(Enum):
    """What one file, or one folder of files, of a format holds.

    >>> [scope.value for scope in Scope]
    ['run', 'frame', 'video', 'recording']
    """

    RUN = "run"
    """All photos and frames of a run: ``OUT/results.FORMAT``."""
    FRAME = "frame"
    """One photo or frame: files in the folder ``OUT/FORMAT``."""
    VIDEO = "video"
    """The tracked people of one video: files in the folder ``OUT/FORMAT``."""
    RECORDING = "recording"
    """One video with its images: a file in the folder ``OUT/FORMAT``. The photos of a run: ``OUT/results.*``."""


@dataclass(frozen=True)
class ResultFormat:
    """A format that ``--save`` can name.

    Attributes:
        name: the name; also the suffix of the file (`Scope.RUN`) or the folder (other scopes).
        scope: what one file holds.
        open: makes the writer. Its arguments are the file (`Scope.RUN`) or the folder (other scopes), the name that the
            files' names begin with, and whether a table has a row for each person instead of one for each keypoint.
        needs_image_size: whether it needs the size of the image, which results read from a table do not have.

    >>> FORMATS[0].name, FORMATS[0].scope
    ('csv', <Scope.RUN: 'run'>)
    """

    name: str
    scope: Scope
    open: Callable[[Path, str, bool], ResultsWriter]
    needs_image_size: bool = False


FORMATS = (
    ResultFormat("csv", Scope.RUN, lambda file, _name, wide: CsvWriter(file, wide=wide)),
    ResultFormat("parquet", Scope.RUN, lambda file, _name, wide: ParquetWriter(file, wide=wide)),
    ResultFormat("openpose", Scope.FRAME, lambda folder, name, _wide: OpenPoseWriter(folder, name, layout=BODY_25)),
    ResultFormat(
        "openpose-coco18", Scope.FRAME, lambda folder, name, _wide: OpenPoseWriter(folder, name, layout=COCO_18)
    ),
    ResultFormat(
        "ultralytics", Scope.FRAME, lambda folder, name, _wide: UltralyticsWriter(folder, name), needs_image_size=True
    ),
    ResultFormat("trc", Scope.VIDEO, lambda folder, name, _wide: TrcWriter(folder, name)),
    ResultFormat("deeplabcut", Scope.VIDEO, lambda folder, name, _wide: DeepLabCutWriter(folder / f"{name}.csv")),
    ResultFormat("rerun", Scope.RECORDING, lambda folder, name, _wide: RerunWriter(folder / f"{name}.rrd")),
)
"""All formats, in the order in which they are listed and written. The COCO results list is always written."""


def format_names(*scopes: Scope) -> tuple[str, ...]:
    """Return the names of the formats with one of these scopes; of all formats without arguments.

    >>> format_names(Scope.VIDEO)
    ('trc', 'deeplabcut')
    """
    return tuple(each.name for each in FORMATS if not scopes or each.scope in scopes)


def run_writers(folder: Path, name: str, formats: Collection[str], *, wide: bool, live: bool) -> list[ResultsWriter]:
    """Open the files of a whole run: the COCO results list, and the tables among ``formats``.

    Args:
        folder: where they are written.
        name: of the files, without suffix.
        formats: names of `FORMATS`.
        wide: whether tables have a row for each person instead of one for each keypoint.
        live: whether the list is complete after every frame; otherwise it appears at the end of the run.

    Raises:
        EveryposeError: if a file cannot be written.
        UsageError: if a package for a format is missing.

    >>> writers = run_writers(Path("out"), "results", ("csv",), wide=False, live=False)
    >>> [writer.path.name for writer in writers]
    ['results.json', 'results.csv']
    >>> for writer in writers:
    ...     writer.close()
    """
    results_list: ResultsWriter = (CocoWriter if live else WholeCocoWriter)(folder / f"{name}.json")
    tables = (each for each in FORMATS if each.scope is Scope.RUN and each.name in formats)
    return [results_list, *(table.open(folder / f"{name}.{table.name}", name, wide) for table in tables)]


def frame_writers(folder: Path, name: str, formats: Collection[str], *, in_folders: bool) -> list[ResultsWriter]:
    """Return the writers of the formats with a file for each photo or frame.

    Args:
        folder: of the run.
        name: of the photo or video.
        formats: names of `FORMATS`; those of other scopes are ignored.
        in_folders: whether the files lie in a folder of this name, as for videos.

    >>> [writer.path.as_posix() for writer in frame_writers(Path("out"), "clip", ("openpose", "csv"), in_folders=True)]
    ['out/openpose/clip']
    """
    chosen = (each for each in FORMATS if each.scope is Scope.FRAME and each.name in formats)
    return [each.open(folder / each.name / name if in_folders else folder / each.name, name, False) for each in chosen]


def video_writers(folder: Path, name: str, formats: Collection[str]) -> list[ResultsWriter]:
    """Return the writers of the formats that describe the tracked people of one video.

    Args:
        folder: of the run.
        name: of the video.
        formats: names of `FORMATS`; those of other scopes are ignored.

    >>> [writer] = video_writers(Path("out"), "clip", ("trc", "csv"))
    >>> type(writer).__name__
    'TrcWriter'
    >>> writer.close()
    """
    return [
        each.open(folder / each.name, name, False)
        for each in FORMATS
        if each.scope is Scope.VIDEO and each.name in formats
    ]


def recording_writers(folder: Path, name: str, formats: Collection[str]) -> list[ResultsWriter]:
    """Open the recordings of a video, or of a run's photos; their results need the image attached.

    Args:
        folder: where they are written.
        name: of the files, without suffix.
        formats: names of `FORMATS`; those of other scopes are ignored.

    Raises:
        EveryposeError: if a file cannot be written.
        UsageError: if the package of a format is missing.

    >>> recording_writers(Path("out"), "clip", ("csv",))  # no recording among the formats
    []
    """
    return [
        each.open(folder, name, False) for each in FORMATS if each.scope is Scope.RECORDING and each.name in formats
    ]


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
