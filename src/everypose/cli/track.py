"""``everypose track``: ids for the people in saved results of videos, without the network."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.cli.option_groups import expand_options
from everypose.cli.predict_options import DrawingOptions
from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.inference.results import FrameResult

SmoothingName = Literal["butterworth", "savitzky-golay"]
LOWEST_CUTOFF = 0.001
"""In Hz; with less than a billionth of the frame rate the filter's equations are singular."""


@expand_options
def track(
    *,
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="Saved results of videos: a table (.csv, .parquet), a COCO results list (.json), or a folder of "
            "OpenPose files.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("everypose-tracks"),
    skeleton: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Skeleton of a COCO results list, or a TOML file. Tables name their own."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(metavar="F", help="Frames a second of results without times, such as OpenPose files.", min=0.001),
    ] = None,
    smooth: Annotated[
        SmoothingName | None,
        typer.Option(help="Remove outliers, fill short gaps and filter the keypoints. [default: keep them]"),
    ] = None,
    cutoff: Annotated[
        float | None, typer.Option(metavar="HZ", help="With --smooth butterworth: cutoff frequency. [default: 6]")
    ] = None,
    max_gap: Annotated[
        float, typer.Option("--max-gap", metavar="SECONDS", help="Longest gap in which a person is filled in.", min=0)
    ] = 3.0,
    memory: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a lost person is searched for. [default: 2]", min=0.01),
    ] = None,
    high_score: Annotated[
        float | None,
        typer.Option("--high-score", metavar="S", help="Score that starts a track. [default: from the results]", min=0),
    ] = None,
    low_score: Annotated[
        float | None,
        typer.Option("--low-score", metavar="S", help="Score that continues one. [default: from the results]", min=0),
    ] = None,
    save: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Besides results.json: csv, parquet, openpose, openpose-coco18, trc, deeplabcut, rerun; pictures for "
            "annotated videos.",
        ),
    ] = "csv",
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With pictures: the video, if it is not where the results say."),
    ] = None,
    drawing: DrawingOptions,
    wide: Annotated[
        bool, typer.Option("--wide", help="Tables have a row for each person instead of one for each keypoint.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Track the people in saved results of videos, without the network.

    Each video is tracked as a whole: ids count from a person's first detection, boxes are smoothed, and people are
    filled in where they were not detected for a while. OUT/results.json is a COCO results list with track_id.

    Example: everypose track out/results.csv --smooth butterworth --save csv,trc -o tracks
    """
    from everypose.core import progress
    from everypose.inference.outputs import open_outputs
    from everypose.inference.results import read_results
    from everypose.inference.results.rerun import require_rerun
    from everypose.inference.results.writing import FORMATS, parse_formats
    from everypose.inference.run_files import OutputOptions
    from everypose.inference.video.retrack import retrack
    from everypose.inference.video.write_tracked import write_tracked
    from everypose.skeleton.skeleton import Skeleton
    from everypose.tracking.settings import TrackerSettings
    from everypose.tracking.smoothing.settings import OfflineSmoothing

    if cutoff is not None and smooth != "butterworth":
        raise UsageError("--cutoff is for --smooth butterworth")
    if cutoff is not None and cutoff < LOWEST_CUTOFF:
        raise UsageError(f"--cutoff {cutoff:g}: give a frequency above 0, of {LOWEST_CUTOFF:g} Hz at least")
    known = ("pictures", *(each.name for each in FORMATS if not each.needs_image_size))
    options = OutputOptions(parse_formats(save, known), wide=wide, style=drawing.drawing_style(tracked=True))
    if "rerun" in options.save:
        require_rerun()
    settings = TrackerSettings(high_score=high_score, low_score=low_score)
    if memory is not None:
        settings = settings.model_copy(update={"memory": memory})
    filters = None if smooth is None else OfflineSmoothing(filter=smooth, cutoff=cutoff or OfflineSmoothing().cutoff)
    if results.resolve().parent == out.resolve():
        raise UsageError(f"{out} is the folder of {results.name}, which would be replaced: give another --out")
    found = read_results(results, skeleton=None if skeleton is None else Skeleton.find(skeleton))
    if fps is not None:
        found = _with_times(found, fps)
    found = progress.track(found, "frames", quiet=quiet or as_json)
    tracked = retrack(found, settings, smoothing=filters, longest_gap=max_gap)
    with open_outputs(out, [], options) as outputs:
        summaries = write_tracked(tracked, outputs, video=video)
    if as_json:
        videos = [
            {
                "file": one.label,
                "frames": one.frames,
                "people": one.tracks,
                "drawn": str(one.video) if one.video else None,
            }
            for one in summaries
        ]
        print(json.dumps({"videos": videos, "out": str(out)}))
    elif not quiet:
        for one in summaries:
            drawn = f", drawn in {one.video}" if one.video else ""
            print(f"{one.label}: {one.tracks} people in {one.frames} frames{drawn}")
        print(f"results in {out}")


def _with_times(results: "Iterable[FrameResult]", rate: float) -> "Iterator[FrameResult]":
    """The results; frames without a time get that of their number."""
    for result in results:
        missing = result.frame is not None and result.time is None
        yield replace(result, time=(result.frame or 0) / rate) if missing else result
