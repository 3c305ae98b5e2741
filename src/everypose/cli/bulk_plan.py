"""``everypose bulk plan``: what a bulk run will take."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.bulk_options import BulkModelOptions, BulkSourceOptions
from everypose.cli.option_groups import expand_options


@expand_options
def plan(
    *,
    found: BulkSourceOptions,
    workers: Annotated[int, typer.Option(help="Processes, each on a machine like this one.", min=1)] = 1,
    price_per_hour: Annotated[float | None, typer.Option(help="Price of a worker for an hour.", min=0)] = None,
    sample: Annotated[int, typer.Option(help="Images, and frames, that are measured.", min=1)] = 64,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the run, which receives the plan.")] = Path(
        "everypose-bulk"
    ),
    chosen: BulkModelOptions,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Measure a sample of a bulk run and predict its time, memory, cost and bottleneck.

    OUT/plan.json has the plan; 'everypose bulk status OUT' compares the run with it. Measure on an idle machine.

    Example: everypose bulk plan photos/ --workers 16 --price-per-hour 0.5 --out poses
    """
    from everypose.bulk.plan import PLAN, make_plan
    from everypose.core.files import write_json

    begin = time.monotonic()
    sources = found.find(out, quiet=quiet or as_json)
    estimator = chosen.load()
    made = make_plan(
        estimator,
        sources,
        workers=workers,
        sample=sample,
        video=found.video,
        start_seconds=time.monotonic() - begin,
        price_per_hour=price_per_hour,
    )
    write_json(out / PLAN, made.model_dump(), indent=1)
    if as_json:
        print(json.dumps({**made.model_dump(), "cost": made.cost}))
    elif not quiet:
        print("\n".join(made.lines()))
