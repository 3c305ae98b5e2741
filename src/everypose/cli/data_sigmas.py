"""``everypose data sigmas``: OKS sigmas of a skeleton from people who were labelled twice."""

import json
from pathlib import Path
from typing import Annotated

import typer

from everypose.errors import EveryposeError


def sigmas(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="COCO labels by one annotator.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="Labels of the same images by another.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the skeleton with its sigmas as a TOML file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sigmas as JSON.")] = False,
) -> None:
    """Estimate the sigmas of a skeleton from repeated annotations: how far two annotators differ, keypoint by keypoint.

    Example: everypose data sigmas anna.json ben.json -o mouse.toml
    """
    from dataclasses import replace

    from everypose.data.annotation_files import first_with_keypoints, load
    from everypose.evaluation.sigmas import estimate_sigmas
    from everypose.files import write_text
    from everypose.skeleton import Skeleton
    from everypose.skeleton_toml import to_toml

    contents = [load(first), load(second)]
    categories = [
        first_with_keypoints(content["categories"], path)
        for content, path in zip(contents, (first, second), strict=True)
    ]
    if categories[0]["keypoints"] != categories[1]["keypoints"]:
        raise EveryposeError(f"{first} and {second} have different keypoints")
    skeleton = Skeleton.from_coco_category(categories[0])
    estimate = estimate_sigmas(contents[0], contents[1], len(skeleton))
    values = [round(float(sigma), 4) for sigma in estimate.sigmas]
    if out is not None:
        write_text(out, to_toml(replace(skeleton, sigmas=tuple(values))))
    if as_json:
        print(json.dumps({"people": estimate.people, "sigmas": dict(zip(skeleton.keypoints, values, strict=True))}))
        return
    print(f"{estimate.people:,} people labelled in both files")
    for name, value, repeats in zip(skeleton.keypoints, values, estimate.repeats, strict=True):
        print(f"  {name:<24} {value:.4f}  ({repeats:,} people)")
    if out is not None:
        print(f"wrote {out}; give it as the skeleton where one is asked for")
