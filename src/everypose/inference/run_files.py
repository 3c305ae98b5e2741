"""The files of a run: which ones its options ask for, and what they are called."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from everypose.drawing import DrawingStyle
from everypose.errors import UsageError
from everypose.inference.inputs import Source
from everypose.inference.results.writing import Scope, format_names

RUN_FILE = "run.json"
"""The file that every run with a model writes, by which its folder is recognized."""
RAW, SMOOTHED = "results", "smoothed"
"""Names of the lists and tables of a run, without suffix."""
TABLES = format_names(Scope.RUN)
SHEET = "contact_sheet.jpg"
OPTIONAL_FILES = frozenset(
    [*(f"{name}.{kind}" for name in (RAW, SMOOTHED) for kind in (*TABLES, "rrd")), f"{SMOOTHED}.json", SHEET]
)
"""Names of the files of a whole run that only some runs write."""
SAVES = ("pictures", "json", "crops", *format_names())
"""Outputs that can be saved in addition to ``results.json``."""


@dataclass(frozen=True)
class OutputOptions:
    """What a run writes.

    Attributes:
        save: of `SAVES`.
        wide: whether tables have a row for each person instead of one for each keypoint.
        style: how people are drawn.
        smoothed: whether there are smoothed poses, which get a list and tables of their own.

    >>> OutputOptions(save=("json", "csv")).wide
    False
    """

    save: tuple[str, ...] = ("pictures", "json")
    wide: bool = False
    style: DrawingStyle = field(default_factory=DrawingStyle)
    smoothed: bool = False

    def table_names(self) -> Iterator[str]:
        """Yield the names of the tables, and of the list of smoothed poses."""
        tables = [table for table in TABLES if table in self.save]
        yield from (f"{RAW}.{table}" for table in tables)
        if self.smoothed:
            yield from (f"{SMOOTHED}.{table}" for table in ("json", *tables))

    def optional_files(self, *, has_images: bool) -> Iterator[str]:
        """Yield the names of `OPTIONAL_FILES` that a run writes."""
        yield from self.table_names()
        if has_images and "pictures" in self.save:
            yield SHEET
        if has_images and "rerun" in self.save:
            yield f"{RAW}.rrd"


def refuse_to_overwrite(folder: Path, sources: Sequence[Source], options: OutputOptions) -> None:
    """Refuse an output folder in which an output would take the place of an image of the run.

    Args:
        folder: the output folder.
        sources: all images of the run.
        options: what is written.

    Raises:
        UsageError: if one would.

    >>> refuse_to_overwrite(Path("out"), [Source(Path("out/pictures/a.jpg"), "a", 1)], OutputOptions())
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: the output would overwrite out/pictures/a.jpg: choose another output folder than out
    """
    names = [f"{RAW}.json", RUN_FILE, *OPTIONAL_FILES]
    outputs = {os.path.realpath(folder / name) for name in names}
    if "pictures" in options.save:
        outputs |= {os.path.realpath(folder / "pictures" / f"{source.name}.jpg") for source in sources}
    if "json" in options.save:
        outputs |= {os.path.realpath(folder / "json" / f"{source.name}.json") for source in sources}
    if "crops" in options.save:
        crops = os.path.realpath(folder / "crops") + os.sep
        outputs |= {real for source in sources if (real := os.path.realpath(source.path)).startswith(crops)}
    for source in sources:
        if os.path.realpath(source.path) in outputs:
            raise UsageError(f"the output would overwrite {source.path}: choose another output folder than {folder}")
