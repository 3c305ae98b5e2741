"""``everypose refine``: better keypoints for saved results."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP
from everypose.errors import UsageError


def refine(
    *,
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A COCO results list (.json) of any pose estimator on images.")
    ],
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder of the images.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A PoseFix model: a folder, an .onnx file or a hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The COCO results list to write.")],
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Test-time flip augmentation: better keypoints in twice the time.")
    ] = False,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Refine the keypoints of saved results with a PoseFix model.

    Results belong to the image with their file_name, or, without one, to that whose number is their image_id. FILE has
    the same entries with refined keypoints; scores stay, and people who have become duplicates are left out.

    People of an image that is missing or cannot be read stay as they are; the image is named, and the exit code is 1.

    Example: everypose refine out/results.json --images photos -m posefix.onnx -o refined.json
    """
    from everypose.core.files import refuse_to_replace, write_json
    from everypose.inference.inputs import find_inputs
    from everypose.inference.refine_results import refine_results
    from everypose.inference.refinement import load_refiner

    if not images.is_dir():
        raise UsageError(f"--images {images}: there is no such folder")
    refuse_to_replace(out, results)
    found = find_inputs([str(images)])
    refined = refine_results(
        results, found.images, load_refiner(model, device=device, flip=flip), quiet=quiet or as_json
    )
    write_json(out, refined.entries)
    if as_json:
        summary = {
            "images": refined.images,
            "people": refined.people,
            "suppressed": refined.suppressed,
            "failed": refined.failed,
            "out": str(out),
        }
        print(json.dumps(summary))
    elif not quiet:
        print(f"{refined.people} people in {refined.images} images refined, {refined.suppressed} duplicates left out")
        print(f"  results        {out}")
    if refined.failed:
        print(f"everypose: {len(refined.failed)} images failed:", file=sys.stderr)
        for reason in refined.failed:
            print(f"  {reason}", file=sys.stderr)
        raise typer.Exit(1)
