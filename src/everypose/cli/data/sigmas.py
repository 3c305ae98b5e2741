"""``everypose data sigmas``: OKS sigmas of a custom skeleton, estimated or given, as a TOML file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.evaluation_options import parse_sigmas
from everypose.errors import EveryposeError, UsageError


def sigmas(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="COCO labels by one annotator.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="B.json", help="Labels of the same images by another annotator.")
    ] = None,
    values: Annotated[
        str | None, typer.Option(help="Instead of B.json: the sigmas, 0.026,0.035,..., one for each keypoint.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the skeleton with its sigmas as a TOML file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sigmas as JSON.")] = False,
) -> None:
    """Estimate OKS sigmas from people labeled by two annotators: their standard deviation for each keypoint.

    With --values the sigmas are taken as given. The TOML file is given as 'train --set data.skeleton=FILE.toml' or
    'evaluate --skeleton FILE.toml'.

    Example: everypose data sigmas anna.json ben.json -o mouse.toml
    """
    from dataclasses import replace

    from everypose.core.files import refuse_to_replace, write_text
    from everypose.data.discovery.annotation_files import first_with_keypoints, load
    from everypose.data.formats.coco_entries import parse_entries
    from everypose.evaluation.annotated_set import replace_sigmas
    from everypose.evaluation.coco_arrays import read_ground_truth
    from everypose.evaluation.metrics.sigmas import estimate_sigmas
    from everypose.skeleton.skeleton import Skeleton
    from everypose.skeleton.toml import to_toml

    if (second is None) == (values is None):
        raise UsageError("give a second annotation file to estimate from, or the sigmas themselves with --values")
    refuse_to_replace(out, first, second)
    content = parse_entries(load(first), str(first))
    category = first_with_keypoints(content["categories"], first)
    skeleton = Skeleton.from_coco_category(category)
    people, repeats = None, None
    if second is None:
        skeleton = replace_sigmas(skeleton, parse_sigmas(str(values)))
    else:
        other = parse_entries(load(second), str(second))
        if first_with_keypoints(other["categories"], second)["keypoints"] != category["keypoints"]:
            raise EveryposeError(f"{first} and {second} have different keypoints")
        ground_truths = [read_ground_truth(each, len(skeleton)) for each in (content, other)]
        estimate = estimate_sigmas(*ground_truths)
        people, repeats = estimate.people, estimate.repeats.tolist()
        skeleton = replace(skeleton, sigmas=tuple(round(float(sigma), 4) for sigma in estimate.sigmas))
    by_name = dict(zip(skeleton.keypoints, skeleton.require_sigmas().tolist(), strict=True))
    if out is not None:
        write_text(out, to_toml(skeleton))
    if as_json:
        print(json.dumps({"people": people, "sigmas": by_name}))
        return
    if people is not None:
        print(f"{people:,} people labeled in both files")
    for row, (name, value) in enumerate(by_name.items()):
        print(f"  {name:<24} {value:.4f}" + (f"  ({repeats[row]:,} people)" if repeats else ""))
    if out is not None:
        print(f"wrote {out}; give it as the skeleton: train --set data.skeleton={out}, evaluate --skeleton {out}")
