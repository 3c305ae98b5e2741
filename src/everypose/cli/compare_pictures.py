"""``everypose compare --pictures``: models side by side on the same photos."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from everypose.errors import UsageError


def compare_pictures(names: Sequence[str], images: Sequence[str], folder: Path, *, most: int, as_json: bool) -> None:
    """Run models on photos, draw the largest disagreements and print the ranking.

    Args:
        names: of the models, two or more with the same keypoints.
        images: photos, folders or globs.
        folder: to write to.
        most: the most pictures.
        as_json: whether to print JSON.

    Raises:
        UsageError: if a model or photo is missing, or the models have different keypoints.

    >>> compare_pictures(["boir-lite", "mipnet-lite"], [], Path("pictures"), most=5, as_json=False)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: --pictures needs --images: a photo, a folder or a glob
    """
    from everypose.inference.inputs import find_images
    from everypose.inference.loading import load
    from everypose.studies.disagreement import compare_on_images, require_one_skeleton, rows_of, write_pictures
    from everypose.studies.subject import distinct

    if not images:
        raise UsageError("--pictures needs --images: a photo, a folder or a glob")
    models = [load(name) for name in names]
    labels = distinct([Path(name).stem for name in names])
    require_one_skeleton(models, labels)
    problems: list[str] = []
    paths = [source.path for source in find_images(images, skip=folder)]
    ranked = compare_on_images(models, paths, problems=problems, quiet=as_json)
    written = write_pictures(folder, ranked, models, labels, most=most) if ranked else []
    if as_json:
        print(json.dumps({"models": labels, "images": rows_of(ranked), "failed": problems}))
    elif ranked:
        print(f"| image | disagreement | {' | '.join(f'people of {label}' for label in labels)} |")
        print("|" + "---|" * (2 + len(labels)))
        for each in ranked[:most]:
            print(f"| {each.image.name} | {each.amount:.2f} | {' | '.join(map(str, each.people))} |")
        print(f"\nwrote {len(written)} pictures and disagreements.json to {folder}")
    for problem in problems:
        typer.echo(f"everypose: left out: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
