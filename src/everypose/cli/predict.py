"""``everypose predict``: the people in images, videos, cameras and streams."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP, FamilyOption, SizeOption
from everypose.cli.option_groups import expand_options
from everypose.cli.predict_options import DrawingOptions, PersonBoxOptions, SaveOptions, VideoOptions
from everypose.cli.video_summary import clip_as_dict, print_clips
from everypose.errors import EveryposeError, UsageError
from everypose.models.default_names import DEFAULT_DETECTOR, DEFAULT_MODEL

if TYPE_CHECKING:
    from everypose.data.discovery.walk import Skipped
    from everypose.inference.bulk import Summary
    from everypose.inference.estimator import Estimator
    from everypose.inference.inputs import Inputs
    from everypose.inference.outputs import Outputs
    from everypose.inference.video.run import VideoSummary


@expand_options
def predict(
    *,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Images, videos, folders, globs; cameras (0, 1); rtsp:// and http:// addresses; - for a list on "
            "standard input.",
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = DEFAULT_MODEL,
    saving: SaveOptions,
    min_score: Annotated[
        float | None, typer.Option(help="Lowest score of a person. [default: the model's]", min=0, max=1)
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Test-time flip augmentation: better keypoints in twice the time.")
    ] = False,
    size: SizeOption = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a model of several data sets: the one whose keypoints are wanted, or all. [default: its first]",
        ),
    ] = None,
    family: FamilyOption = None,
    batch: Annotated[int | None, typer.Option(help="Images in a batch. [default: the fastest, 1 or 4]", min=1)] = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
    person_boxes: PersonBoxOptions,
    refine: Annotated[
        str | None, typer.Option("--refine", metavar="MODEL", help="Refine the poses with this PoseFix model.")
    ] = None,
    video: VideoOptions,
    drawing: DrawingOptions,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find the people in images and videos and write the results.

    OUT/results.json is a COCO results list (image_id, file_name, category_id, keypoints, score; of videos also frame,
    time, track_id). OUT/run.json names the models, with revision and hash, and the device. OUT/json has a file for
    each image, OUT/pictures the drawn images, OUT/contact_sheet.jpg up to 24 of them, OUT/videos the annotated videos,
    OUT/results.csv a row for each keypoint. The image_id is the number at the end of the file name if every image has
    one and all differ, otherwise 1, 2, 3 and so on.

    A top-down model processes one box after the other. Boxes of a file belong to the image with their file_name, or,
    without one, to that with their image_id. Detectors find people; for animals and hands, give boxes.

    An input that cannot be read is named and skipped; the exit code is then 1. Ctrl-C ends a video and keeps everything
    up to there.

    Example: everypose predict crowd.jpg photos/ clip.mp4 --track -o out
    """
    from everypose.data.discovery.walk import Skipped
    from everypose.inference.device_choice import AUTO, DeviceChoice
    from everypose.inference.inputs import find_inputs
    from everypose.inference.loading import choose_device, load
    from everypose.inference.outputs import open_outputs
    from everypose.inference.refinement import RefiningEstimator, load_refiner
    from everypose.inference.run_files import OutputOptions
    from everypose.models.identity import identify_model

    listed = sys.stdin.buffer if "-" in sources else ()
    found = find_inputs(sources, listed, skip=saving.out, as_video=video.as_video)
    options = OutputOptions(
        save=saving.formats(images=bool(found.images), videos=bool(found.videos), tracked=video.track),
        wide=saving.wide,
        style=drawing.drawing_style(tracked=video.track and bool(found.videos)),
        smoothed=video.smooth and bool(found.videos),
    )
    given = person_boxes.given({image.path: image.image_id for image in found.images}, videos=bool(found.videos))
    if video.smooth and not video.track:
        raise UsageError("--smooth follows each person from frame to frame: add --track")
    if found.videos:
        video.selection()  # wrong options and a missing package are reported before the model is loaded
    chosen = DeviceChoice(device=device, reason="as given")
    if device == AUTO:
        chosen = choose_device(model, flip=flip, size=size, skeleton=skeleton, family=family)
    estimator = load(
        model,
        device=chosen.device,
        flip=flip,
        min_score=min_score,
        size=size,
        batch_size=batch,
        detector=given or person_boxes.detector,
        box_threshold=None if given else person_boxes.box_threshold,
        skeleton=skeleton,
        tiles=person_boxes.tiles,
        family=family,
    )
    run = estimator if refine is None else RefiningEstimator(estimator, load_refiner(refine, device=device, flip=flip))
    used = {"model": identify_model(model)}
    if given is None and estimator.config.is_top_down:
        detectors = (person_boxes.detector or DEFAULT_DETECTOR).split(",")
        used |= {
            f"detector {position}" if position else "detector": identify_model(name.strip())
            for position, name in enumerate(detectors)
        }
    if refine is not None:
        used["refiner"] = identify_model(refine)
    deciding: dict[str, str | int | float | bool | None] = {
        "model": model, "device": chosen.device, "flip": flip, "min_score": min_score, "skeleton": skeleton,
        "size": size, "refine": refine, "family": family,
        **asdict(person_boxes), "sha256": used["model"].sha256,
    }  # fmt: skip
    clips: list[VideoSummary] = []
    with open_outputs(
        saving.out,
        found.images,
        options,
        settings=deciding,
        models=used,
        device=chosen,
        resume=saving.resume,
        live=bool(found.videos),
    ) as outputs:
        done = len(found.images) - len(outputs.unfinished())
        summary = _run_images(run, outputs, quiet=quiet)
        try:
            failed_videos = _run_videos(run, found, outputs, video, clips, quiet=quiet or as_json)
        except KeyboardInterrupt:
            if not (quiet or as_json):
                print_clips(clips)
            raise
    if done and not (quiet or as_json):
        print(f"{done} images were done before")
    failed = [*found.skipped, *(Skipped(source.path, reason) for source, reason in summary.failed), *failed_videos]
    boxes = person_boxes.describe(estimator, given, len(found.images))
    device_used = f"{chosen.device} ({chosen.reason})" if device == AUTO else None
    if as_json:
        print(json.dumps(_as_dict(summary, clips, failed, outputs, boxes)))
    elif not quiet:
        _print_summary(summary, clips, outputs, {"device": device_used, "boxes": boxes})
    if failed:
        what = "inputs" if found.videos else "images"
        total = len(found.images) + len(found.videos) + len(found.skipped)
        print(f"everypose: {len(failed)} of {total} {what} failed:", file=sys.stderr)
        for one in failed:
            print(f"  {one.reason}", file=sys.stderr)
        raise typer.Exit(1)


def _run_images(estimator: "Estimator", outputs: "Outputs", *, quiet: bool) -> "Summary":
    """Process the images that remain."""
    from everypose.inference.bulk import Summary, predict_all

    remaining = outputs.unfinished()
    return predict_all(estimator, remaining, outputs, quiet=quiet) if remaining else Summary()


def _run_videos(
    estimator: "Estimator",
    found: "Inputs",
    outputs: "Outputs",
    options: VideoOptions,
    clips: "list[VideoSummary]",
    *,
    quiet: bool,
) -> "list[Skipped]":
    """Process the videos in sequence.

    Args:
        estimator: finds the people.
        found: the inputs of the run.
        outputs: those of the run.
        options: which frames are processed, and how.
        clips: receives a summary of each video when it begins.
        quiet: show no progress.

    Returns:
        The videos that failed.
    """
    if not found.videos:
        return []
    from everypose.data.discovery.walk import Skipped
    from everypose.inference.video.outputs import refuse_to_overwrite_videos
    from everypose.inference.video.run import VideoSummary, predict_video
    from everypose.tracking.smoothing.one_euro import LiveSmoother
    from everypose.tracking.tracker import Tracker

    if "pictures" in outputs.options.save:
        refuse_to_overwrite_videos(outputs.folder, found.videos)
    failed: list[Skipped] = []
    for source in found.videos:
        clips.append(VideoSummary(source.label))
        try:
            predict_video(
                estimator,
                source,
                outputs,
                clips[-1],
                tracker=Tracker(estimator.skeleton) if options.track else None,
                smoother=LiveSmoother() if options.smooth else None,
                selection=options.selection(),
                frame_rate=options.frame_rate,
                quiet=quiet,
            )
        except UsageError:
            raise
        except EveryposeError as error:
            failed.append(Skipped(Path(source.label), str(error)))
            if not clips[-1].frames:
                clips.pop()
    return failed


def _as_dict(
    summary: "Summary",
    clips: "list[VideoSummary]",
    failed: "list[Skipped]",
    outputs: "Outputs",
    boxes: str | None,
) -> dict[str, object]:
    """Return the summary for a program that reads it."""
    return {
        "images": summary.images,
        "people": summary.people,
        "seconds": round(summary.seconds, 3),
        "videos": [clip_as_dict(clip) for clip in clips],
        "failed": [{"path": str(one.path), "reason": one.reason} for one in failed],
        "boxes": boxes,
        "results": str(outputs.results),
        "tables": [str(table) for table in outputs.tables],
        "pictures": str(outputs.pictures) if outputs.pictures else None,
        "json": str(outputs.jsons) if outputs.jsons else None,
        "contact_sheet": str(outputs.sheet) if outputs.sheet else None,
    }


def _print_summary(
    summary: "Summary", clips: "list[VideoSummary]", outputs: "Outputs", how: Mapping[str, str | None]
) -> None:
    """Print how many people, how fast, how and where."""
    with_images = summary.images or not clips
    if with_images:
        rate = summary.images / summary.seconds if summary.seconds else 0.0
        print(
            f"{summary.people} people in {summary.images} images, {summary.seconds:.1f} s ({rate:.1f} images a second)"
        )
    print_clips(clips)
    places: list[tuple[str, str | Path | None]] = [*how.items(), ("results", outputs.results)]
    places += [("table", table) for table in outputs.tables]
    if with_images:
        places += [("JSON files", outputs.jsons), ("pictures", outputs.pictures), ("contact sheet", outputs.sheet)]
    for what, where in places:
        if where:
            print(f"  {what:<14} {where}")
