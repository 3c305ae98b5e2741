"""``everypose data mine``: which images of a folder are worth labeling first."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP, SizeOption
from everypose.errors import EveryposeError, UsageError


def mine(
    folder: Annotated[Path, typer.Argument(help="The folder with the images; subfolders are searched, too.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("everypose-tasks"),
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = "boir-lite",
    top: Annotated[int | None, typer.Option(help="Write only this many images. [default: all]", min=1)] = None,
    url_prefix: Annotated[
        str, typer.Option(help="What precedes a file's name in Label Studio's image addresses.")
    ] = "/data/local-files/?d=",
    min_score: Annotated[
        float | None, typer.Option(help="Lowest person score. [default: the model's]", min=0, max=1)
    ] = None,
    size: SizeOption = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Rank images by labeling value and write task lists with pre-labels for CVAT, Label Studio and FiftyOne.

    An image is worth labeling where the model is uncertain, people overlap, and the mirrored image gives other poses.
    Its value is the mean rank in these three. An image that cannot be read is named; the exit code is then 1.

    Example: everypose data mine photos/ -o tasks --top 100
    """
    from everypose.core.progress import track
    from everypose.inference.inputs import find_images
    from everypose.inference.loading import load
    from everypose.integrations.mining import mine as mine_images
    from everypose.integrations.mining import rank
    from everypose.integrations.task_lists import write_task_lists

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    paths = [source.path for source in find_images([str(folder)], skip=out)]
    pose = load(model, device=device, size=size, min_score=min_score)
    failed: list[str] = []
    mined = list(track(mine_images(pose, paths, failed), "measuring images", total=len(paths), quiet=quiet))
    if not mined:
        raise EveryposeError(f"no image of {folder} can be read: {failed[0]}")
    ranked = rank(mined)[:top]
    written = write_task_lists(ranked, folder, out, url_prefix, pose.config.name)
    if not quiet:
        print(f"{len(ranked)} of {len(paths)} images, most valuable first: {ranked[0].image.path}")
        for path in written:
            print(f"  {path}")
    if failed:
        print(f"everypose: {len(failed)} of {len(paths)} images failed:", file=sys.stderr)
        for line in failed:
            print(f"  {line}", file=sys.stderr)
        raise typer.Exit(1)
