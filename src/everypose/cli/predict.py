"""``everypose predict``: the people in images, folders, globs and lists."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP, SizeOption
from everypose.errors import UsageError

if TYPE_CHECKING:
    from everypose.data.discovery.walk import Skipped
    from everypose.inference.box_sources import DetectionsFile, WholeImage
    from everypose.inference.bulk import Summary
    from everypose.inference.estimator import Estimator
    from everypose.inference.outputs import Outputs

SAVES = ("pictures", "json")
WHOLE_IMAGE = "image"
ANY_CATEGORY = "any"


def predict(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Images, folders, globs; - for a list on standard input.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = "boir-lite",
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("everypose-out"),
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Look at the mirrored image, too: better, twice the time.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out people who score less. [default: the model's]", min=0, max=1)
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="What gives a top-down model its boxes: a single-stage model, or a YOLOX, RT-DETR or PicoDet (.onnx). "
            "[default: boir-lite]"
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="image|FILE",
            help="In place of a detector: image for a box around each whole image, or a COCO results list with boxes "
            "(bbox, score).",
        ),
    ] = None,
    box_threshold: Annotated[
        float | None, typer.Option(help="Leave out boxes that score less. [default: the detector's]", min=0, max=1)
    ] = None,
    box_category: Annotated[
        str | None,
        typer.Option(metavar="N|any", help="Whose boxes of a file count, such as a species'. [default: 1, people]"),
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a model of several data sets: the one whose keypoints are wanted, or all. [default: its first]",
        ),
    ] = None,
    size: SizeOption = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Images that go through the network at once. [default: what is fastest, 1 or 4]",
            min=1,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
    save: Annotated[str, typer.Option(help="What to write beside results.json: pictures, json or both.")] = (
        "pictures,json"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run into OUT, with the same options.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find the people in images and write what was found.

    OUT/results.json is a COCO results list (image_id, file_name, category_id, keypoints, score), OUT/json holds a
    file for each image, OUT/pictures the drawn images and OUT/contact_sheet.jpg up to 24 of them. The image_id is
    the number at the end of the file name if every image has one and all differ, else 1, 2, 3 and so on.

    A top-down model looks at one box after the other. Boxes of a file belong to the image with their file_name, or,
    without one, to that whose image_id, as above, is theirs. Detectors find people; for animals and hands, give boxes.

    An image that cannot be read is named and passed over; the exit code is then 1.

    Example: everypose predict crowd.jpg photos/ -o out
    """
    chosen = [part.strip() for part in save.split(",") if part.strip()]
    for part in chosen:
        if part not in SAVES:
            raise UsageError(f"--save {part} is unknown: choose from {', '.join(SAVES)}")
    if detector is not None and boxes is not None:
        raise UsageError("--detector and --boxes both say where the people are: give one of them")
    from everypose.data.discovery.walk import Skipped
    from everypose.inference.bulk import predict_all
    from everypose.inference.inputs import find_images
    from everypose.inference.loading import load
    from everypose.inference.outputs import open_outputs

    skipped: list[Skipped] = []
    found = find_images(sources, sys.stdin.buffer if "-" in sources else (), skip=out, skipped=skipped)
    image_ids = {source.path: source.image_id for source in found}
    given = _given_boxes(boxes, image_ids, box_threshold, box_category)
    estimator = load(
        model,
        device=device,
        flip=flip,
        min_score=min_score,
        size=size,
        batch_size=batch,
        detector=given or detector,
        box_threshold=None if given else box_threshold,
        skeleton=skeleton,
    )
    settings: dict[str, str | int | float | bool | None] = {
        "model": model,
        "device": device,
        "flip": flip,
        "min_score": min_score,
        "detector": detector,
        "boxes": boxes,
        "box_threshold": box_threshold,
        "box_category": box_category,
        "skeleton": skeleton,
        "size": size,
    }
    with open_outputs(out, found, chosen, settings=settings, resume=resume) as outputs:
        remaining = outputs.unfinished()
        summary = predict_all(estimator, remaining, outputs, quiet)
    if len(remaining) < len(found) and not (quiet or as_json):
        print(f"{len(found) - len(remaining)} images were done before")
    failed = skipped + [Skipped(source.path, reason) for source, reason in summary.failed]
    about_boxes = _about_boxes(estimator, detector, given, len(found))
    if as_json:
        print(json.dumps(_as_dict(summary, failed, outputs, about_boxes)))
    elif not quiet:
        _print_summary(summary, outputs, about_boxes)
    if failed:
        print(f"everypose: {len(failed)} of {len(found) + len(skipped)} images failed:", file=sys.stderr)
        for one in failed:
            print(f"  {one.reason}", file=sys.stderr)
        raise typer.Exit(1)


def _given_boxes(
    boxes: str | None, image_ids: dict[Path, int], threshold: float | None, category: str | None
) -> "DetectionsFile | WholeImage | None":
    """The boxes that ``--boxes`` says; None where a detector is to find them."""
    from everypose.inference.box_sources import PERSON_CATEGORY, DetectionsFile, WholeImage

    is_file = boxes not in (None, WHOLE_IMAGE)
    if category is not None and not is_file:
        raise UsageError("--box-category chooses from the boxes of a file: give --boxes FILE")
    if category not in (None, ANY_CATEGORY) and not category.isdecimal():
        raise UsageError(f"--box-category {category}: give a category's number, or {ANY_CATEGORY}")
    if boxes is None:
        return None
    if not is_file:
        if threshold is not None:
            raise UsageError("--boxes image gives one box for each image, which has no score to be compared")
        return WholeImage()
    counted = PERSON_CATEGORY if category is None else None if category == ANY_CATEGORY else int(category)
    return DetectionsFile(Path(boxes), image_ids, threshold or 0.0, counted)


def _about_boxes(
    estimator: "Estimator", detector: str | None, given: "DetectionsFile | WholeImage | None", images: int
) -> str | None:
    """Where a top-down model had its boxes from; None for a model that needs none."""
    from everypose.inference.box_sources import DetectionsFile, WholeImage
    from everypose.inference.loading import DEFAULT_DETECTOR
    from everypose.inference.top_down import TopDownEstimator

    if not isinstance(estimator, TopDownEstimator):
        return None
    if isinstance(given, WholeImage):
        source = "one around each whole image"
    elif isinstance(given, DetectionsFile):
        source = f"from {given.path}, for {given.count_images()} of {images} images"
        if given.other_categories:
            source += f"; {given.other_categories} of other categories do not count (see --box-category)"
    else:
        source = f"by {detector}" if detector else f"by {DEFAULT_DETECTOR}, the default (see --detector and --boxes)"
    if not estimator.dropped:
        return source
    return f"{source}; {estimator.dropped} left out, which have no area, lie outside or are too small"


def _as_dict(
    summary: "Summary", failed: "list[Skipped]", outputs: "Outputs", about_boxes: str | None
) -> dict[str, object]:
    """The summary for a program that reads it."""
    return {
        "images": summary.images,
        "people": summary.people,
        "seconds": round(summary.seconds, 3),
        "failed": [{"path": str(one.path), "reason": one.reason} for one in failed],
        "boxes": about_boxes,
        "results": str(outputs.results),
        "pictures": str(outputs.pictures) if outputs.pictures else None,
        "json": str(outputs.jsons) if outputs.jsons else None,
        "contact_sheet": str(outputs.sheet) if outputs.sheet else None,
    }


def _print_summary(summary: "Summary", outputs: "Outputs", about_boxes: str | None) -> None:
    """The summary for a person: how many, how fast, where."""
    rate = summary.images / summary.seconds if summary.seconds else 0.0
    print(f"{summary.people} people in {summary.images} images, {summary.seconds:.1f} s ({rate:.1f} images a second)")
    for what, where in (
        ("boxes", about_boxes),
        ("results", outputs.results),
        ("JSON files", outputs.jsons),
        ("pictures", outputs.pictures),
        ("contact sheet", outputs.sheet),
    ):
        if where:
            print(f"  {what:<14} {where}")
