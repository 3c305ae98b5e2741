"""``everypose data prepare``: original downloads to the annotation files that the recipes name."""

from pathlib import Path
from typing import Annotated

import typer


def prepare(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="aic, apt36k, coco_wholebody, halpe, interhand2d or pw3d.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the extracted download.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The data set's folder to write to. [default: DIR]")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Convert a data set of PoseBH from its original download; nothing is downloaded.

    Writes COCO-format files below annotations/ and links image folders to where the recipes look for them. Nothing in a
    pickle file is executed: 3DPW's are read as arrays and plain values, and anything else in them is an error.

    Example: everypose data prepare aic data/aic
    """
    from everypose.data.preparation.sets import original_set, prepare_set

    chosen = original_set(name)
    if not quiet:
        print(f"{chosen.title}: {chosen.terms} ({chosen.page})")
    for prepared in prepare_set(name, folder, quiet=quiet):
        path = prepared.write(out or folder)
        if quiet:
            continue
        print(f"wrote {path}: {len(prepared.images):,} images, {len(prepared.annotations):,} instances")
        for note in prepared.notes:
            print(f"  note: {note}")
