"""``everypose data statistics``: how crowded data sets are."""

from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.study_options import OUT, JsonOption, OutOption, QuietOption, finish


def statistics(
    annotations: Annotated[
        list[Path], typer.Argument(metavar="ANNOTATIONS.json...", help="COCO-format keypoint labels, one or more sets.")
    ],
    out: OutOption = OUT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """People in each box (MIPNet, Fig. 4) and people by occlusion (its Table 1), of sets side by side.

    Example: everypose data statistics coco_val.json crowdpose_val.json -o crowding
    """
    from everypose.studies.people_statistics import study_statistics

    finish(study_statistics(annotations), out, as_json=as_json, quiet=quiet)
