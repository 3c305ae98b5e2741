"""``everypose track``: ids for the people in saved results of videos, without the network."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.inference.results import FrameResult, ResultsWriter

SmoothingName = Literal["butterworth", "savitzky-golay"]


def track(
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
            metavar="LIST", help="Besides results.json: csv, parquet, openpose, openpose-coco18, trc, deeplabcut."
        ),
    ] = "csv",
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
    from everypose.inference.results import read_results
    from everypose.inference.results.writing import EACH_FRAME, EACH_VIDEO, TABLES, parse_formats
    from everypose.skeleton.skeleton import Skeleton
    from everypose.tracking.retrack import retrack
    from everypose.tracking.settings import TrackerSettings
    from everypose.tracking.smoothing.settings import OfflineSmoothing

    if cutoff is not None and smooth != "butterworth":
        raise UsageError("--cutoff is for --smooth butterworth")
    if cutoff is not None and cutoff <= 0:
        raise UsageError(f"--cutoff {cutoff:g}: give a frequency above 0")
    # Ultralytics needs the size of the frames, which tables do not have.
    formats = parse_formats(save, (*TABLES, *(one for one in EACH_FRAME if one != "ultralytics"), *EACH_VIDEO))
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
    summary = write_tracks(tracked, out, formats, wide=wide)
    if as_json:
        videos = [{"file": name, "frames": frames, "people": people} for name, (frames, people) in summary.items()]
        print(json.dumps({"videos": videos, "out": str(out)}))
    elif not quiet:
        for name, (frames, people) in summary.items():
            print(f"{name}: {people} people in {frames} frames")
        print(f"results in {out}")


def _with_times(results: "Iterable[FrameResult]", rate: float) -> "Iterator[FrameResult]":
    """The results; frames without a time get that of their number."""
    for result in results:
        missing = result.frame is not None and result.time is None
        yield replace(result, time=(result.frame or 0) / rate) if missing else result


def write_tracks(
    tracked: "Iterable[FrameResult]", folder: Path, formats: tuple[str, ...], *, wide: bool
) -> dict[str, tuple[int, int]]:
    """Write tracked results in the formats.

    Args:
        tracked: the frames of one video after the other.
        folder: where the files are written.
        formats: of those of `everypose.inference.results.writing`.
        wide: whether tables have a row for each person.

    Returns:
        For each video, the number of frames with a result and of ids.

    Raises:
        EveryposeError: if a file cannot be written.
    """
    from everypose.inference.results.writing import frame_writers, movement_writers, run_writers

    summary: dict[str, tuple[int, int]] = {}
    with ExitStack() as run:
        whole = [run.enter_context(w) for w in run_writers(folder, "results", formats, wide=wide, live=False)]
        for file, frames in groupby(tracked, key=lambda result: result.file):
            name = Path(file).stem
            with ExitStack() as video:
                own = [
                    video.enter_context(writer)
                    for writer in (
                        *frame_writers(folder, name, formats, in_folders=True),
                        *movement_writers(folder, name, formats),
                    )
                ]
                summary[file] = _write(frames, [*whole, *own])
    return summary


def _write(frames: "Iterator[FrameResult]", writers: "list[ResultsWriter]") -> tuple[int, int]:
    """Write one video; the numbers of its frames and ids."""
    count, ids = 0, set[int]()
    for result in frames:
        for writer in writers:
            writer.add(result)
        count += 1
        ids.update([] if result.people.ids is None else result.people.ids.tolist())
    return count, len(ids)
