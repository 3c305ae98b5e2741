"""The options that ``bulk run`` and ``bulk plan`` share: sources and model."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP, FamilyOption, SizeOption
from everypose.cli.predict_options import TilesOption
from everypose.models.default_names import DEFAULT_MODEL

if TYPE_CHECKING:
    from everypose.bulk.segments import VideoSettings
    from everypose.bulk.sources import Sources
    from everypose.inference.estimator import Estimator


@dataclass(frozen=True)
class BulkSourceOptions:
    """What a bulk run reads.

    >>> BulkSourceOptions(["photos/"], every=5).video.every
    5
    """

    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Images, videos, tars, Parquet tables; folders, globs and addresses (s3://bucket/photos) of these; "
            "- for a list on standard input.",
        ),
    ]
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of images of Parquet tables. [default: the only one that can be]"),
    ] = None
    root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the paths in Parquet tables begin. [default: the table's folder]"),
    ] = None
    track: Annotated[
        bool, typer.Option("--track", help="Videos: give each person an identity; 'bulk merge' joins the segments.")
    ] = False
    every: Annotated[
        int, typer.Option("--every", metavar="N", help="Videos: process frames 0, N, 2N and so on.", min=1)
    ] = 1
    segment_seconds: Annotated[
        float, typer.Option(metavar="S", help="Videos: least length of a segment, which ends at a key frame.", min=0.1)
    ] = 60.0

    def find(self, out: Path, *, quiet: bool) -> "Sources":
        """Find the sources; arguments and errors as `everypose.bulk.sources.find_sources`."""
        from everypose.bulk.sources import TableOptions, find_sources

        listed = sys.stdin.buffer if "-" in self.sources else ()
        table = TableOptions(self.column, self.root)
        return find_sources(
            self.sources, listed, out=out, table=table, segment_seconds=self.segment_seconds, quiet=quiet
        )

    @property
    def video(self) -> "VideoSettings":
        """How videos are processed."""
        from everypose.bulk.segments import VideoSettings

        return VideoSettings(every=self.every, track=self.track)


@dataclass(frozen=True)
class BulkModelOptions:
    """The model of a bulk run.

    >>> chosen = BulkModelOptions(model="boir-lite")
    >>> chosen.used_device(), chosen.load(threads=1).config.name
    ('cpu', 'boir-lite')
    """

    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = DEFAULT_MODEL
    detector: Annotated[
        str | None,
        typer.Option(help="The detector of a top-down model, as for 'everypose predict'. [default: picodet-s]"),
    ] = None
    family: FamilyOption = None
    tiles: TilesOption = None
    size: SizeOption = None
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Test-time flip augmentation: better keypoints in twice the time.")
    ] = False
    min_score: Annotated[
        float | None, typer.Option(help="Lowest score of a person. [default: the model's]", min=0, max=1)
    ] = None
    batch: Annotated[int | None, typer.Option(help="Images in a batch. [default: the fastest]", min=1)] = None
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu"

    def used_device(self) -> str:
        """The device that the model runs on, chosen here if it is to be chosen."""
        from everypose.inference.device_choice import AUTO
        from everypose.inference.loading import choose_device

        if self.device != AUTO:
            return self.device
        return choose_device(self.model, flip=self.flip, size=self.size, family=self.family).device

    def load(self, *, device: str | None = None, threads: int | None = None) -> "Estimator":
        """Load the model; the device is the option's by default. Errors as `everypose.load`."""
        from everypose.inference.loading import load

        return load(
            self.model,
            device=device or self.device,
            flip=self.flip,
            min_score=self.min_score,
            size=self.size,
            batch_size=self.batch,
            detector=self.detector,
            tiles=self.tiles,
            family=self.family,
            threads=threads,
        )
