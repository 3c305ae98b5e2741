"""``everypose data crowd``: crowds made of people cut out of ordinary photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.errors import EveryposeError, UsageError

if TYPE_CHECKING:
    from everypose.data.crowds.tally import Tally


def crowd(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS.json", help="COCO-format keypoint labels.")],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="The folder of the labeled photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Photos to compose. [default: as many as are labeled]")
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Share of people whose box has an IoU above 0.3 with another's.")
    ] = 0.5,
    people: Annotated[
        tuple[int, int], typer.Option(metavar="MIN MAX", help="Fewest and most people pasted on one photo.")
    ] = (2, 5),
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of photos without people to paste on, instead of the labeled ones.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Compose crowds: cut people out of labeled photos and paste them over others.

    People are cut out by their segmentation, or without one by GrabCut from box and skeleton; cutouts that are not
    clean are discarded. OUT/images holds the photos, OUT/annotations.json their labels in COCO format: covered
    keypoints get visibility 1 (hidden), boxes and areas stay those of the whole person. People and photos come from the
    given file only, so that training and test sets stay disjoint.

    Example: everypose data crowd train.json photos/ -o crowds --count 500 --overlap 0.5
    """
    if not 1 <= people[0] <= people[1]:
        raise UsageError(f"--people {people[0]} {people[1]}: MIN must be at least 1 and at most MAX")
    from everypose.data.crowds.build_set import background_scenes, compose_set
    from everypose.data.crowds.compose import Settings
    from everypose.data.formats.coco import read_coco

    scenes = read_coco(annotations, images)
    if not scenes.scenes:
        raise EveryposeError(f"{annotations} lists no images")
    problems: list[str] = []
    photos = scenes.scenes if backgrounds is None else background_scenes(backgrounds, len(scenes.skeleton), problems)
    settings = Settings(people=people, overlap=overlap)
    tally = compose_set(
        scenes,
        photos,
        out,
        count=count or len(scenes),
        settings=settings,
        seed=seed,
        problems=problems,
        quiet=quiet,
    )
    if not quiet:
        _report(tally, out, overlap)
    for problem in problems:
        typer.echo(f"everypose: left out: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def _report(tally: "Tally", out: Path, wanted: float) -> None:
    """Print what was composed, and a note if the share of overlapping people differs from the requested one."""
    heavy, very_heavy = tally.shares()
    typer.echo(f"{out}: {tally.photos} photos, {tally.people} labeled people, {tally.pasted} of them pasted")
    typer.echo(f"people with box IoU > 0.3: {heavy:.1%}, > 0.5: {very_heavy:.1%}")
    if abs(heavy - wanted) > 0.05:
        typer.echo(f"the requested share was {wanted:.1%}: --people MIN MAX sets how many can be placed", err=True)
