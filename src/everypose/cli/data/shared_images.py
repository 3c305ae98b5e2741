"""``everypose data overlap``: find images that data sets or splits share."""

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from everypose.data.leakage.find_shared import Picture, Shared

_PAIRS_PRINTED = 20


def overlap(
    sets: Annotated[list[Path], typer.Argument(metavar="SET", help="Folders of images, or annotation files.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write overlap.html (pairs side by side) and overlap.json here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the pairs as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Find images that sets share: the same file, or the same image resized, recompressed, cropped or mirrored.

    Exit code 1 if an image cannot be read; it is named and skipped.

    Example: everypose data overlap coco/train2017 crowdpose/json/crowdpose_val.json -o overlap
    """
    from everypose.data.discovery.image_sets import find_image_set
    from everypose.errors import UsageError

    if len(sets) < 2:
        raise UsageError("give two or more sets: folders of images, or annotation files with their images nearby")
    listed = [find_image_set(one) for one in sets]
    described, failures = _describe(sets, [one.files for one in listed], quiet)
    failures += [problem for one in listed for problem in one.problems]
    found = _compare(sets, described)
    report = {"overlaps": [_as_dict(*entry) for entry in found], "failed": failures}
    if out is not None:
        _write(out, found, report)
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        for first, second, shared in found:
            _print(first, second, shared, out)
    for failure in failures:
        print(f"everypose: {failure}", file=sys.stderr)
    raise typer.Exit(1 if failures else 0)


def _describe(sets: list[Path], listed: list[list[Path]], quiet: bool) -> "tuple[list[list[Picture]], list[str]]":
    """Descriptors of each set's images, and one line for each image that cannot be read."""
    from everypose.core.progress import track
    from everypose.data.leakage.find_shared import Picture, describe_all

    described, failures = [], []
    for one, paths in zip(sets, listed, strict=True):
        results = list(track(describe_all(paths), f"reading {one.name}", total=len(paths), quiet=quiet))
        described.append([result for result in results if isinstance(result, Picture)])
        failures += [result for result in results if isinstance(result, str)]
    return described, failures


def _compare(sets: list[Path], described: "list[list[Picture]]") -> "list[tuple[str, str, list[Shared]]]":
    """Every pair of sets with their shared images."""
    from everypose.data.leakage.find_shared import shared_images

    return [
        (str(sets[i]), str(sets[j]), shared_images(described[i], described[j]))
        for i, j in combinations(range(len(sets)), 2)
    ]


def _as_dict(first: str, second: str, shared: "list[Shared]") -> dict[str, Any]:
    pairs = [
        {"first": str(pair.first), "second": str(pair.second), "how": pair.how, "similarity": round(pair.similarity, 4)}
        for pair in shared
    ]
    return {"first": first, "second": second, "shared": len(pairs), "pairs": pairs}


def _write(out: Path, found: "list[tuple[str, str, list[Shared]]]", report: dict[str, Any]) -> None:
    from everypose.core.files import write_json, write_text
    from everypose.data.leakage.html_page import overlap_page

    write_text(out / "overlap.html", overlap_page(found))
    write_json(out / "overlap.json", report, indent=2)


def _print(first: str, second: str, shared: "list[Shared]", out: Path | None) -> None:
    """Print how many images two sets share, and the first of them."""
    print(f"{first} and {second} share {len(shared):,} images" + ("" if shared else ": none found"))
    for pair in shared[:_PAIRS_PRINTED]:
        print(f"  {pair.how:<16} {pair.similarity:.3f}  {pair.first}  {pair.second}")
    if len(shared) > _PAIRS_PRINTED:
        where = f"{out / 'overlap.json'} lists all" if out else "-o OUT or --json lists all"
        print(f"  ... and {len(shared) - _PAIRS_PRINTED:,} more; {where}")
