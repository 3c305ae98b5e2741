"""``everypose bulk``: large sets of images in shards, on any number of machines."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.evaluation_options import DEVICE_HELP
from everypose.models.default_names import DEFAULT_DETECTOR, DEFAULT_MODEL

bulk_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Large sets of images in shards.")

Run = Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of 'everypose bulk run'.")]


@bulk_app.command("run")
def run(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Images, folders, globs; - for a list on standard input.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of all shards.")],
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Shard I of N, from 0. [default: from a SLURM array or Kubernetes job]"),
    ] = None,
    shards: Annotated[
        int | None, typer.Option(help="Number of shards of an indexed Kubernetes job. [default: SLURM's]", min=1)
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = DEFAULT_MODEL,
    detector: Annotated[
        str | None,
        typer.Option(help="The detector of a top-down model, as for 'everypose predict'. [default: picodet-s]"),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Lowest score of a person. [default: the model's]", min=0, max=1)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a batch. [default: the fastest]", min=1)] = None,
    part: Annotated[int, typer.Option(help="Images in a Parquet part.", min=1)] = 256,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Process one shard of the images; run it again to resume.

    Every shard must get the same sources and options. Images that cannot be read are recorded; the exit code is then 1.

    Example: everypose bulk run photos/ --out poses --shard 3/16
    """
    from everypose.bulk.run import run_shard
    from everypose.bulk.shards import parse_shard, shard_of_job
    from everypose.inference.inputs import find_images
    from everypose.inference.loading import load
    from everypose.models.identity import identify_model

    chosen = parse_shard(shard) if shard is not None else shard_of_job(os.environ, shards)
    found = find_images(sources, sys.stdin.buffer if "-" in sources else (), skip=out)
    estimator = load(model, device=device, min_score=min_score, batch_size=batch, detector=detector)
    used = {"model": model, "sha256": identify_model(model).sha256 or "", "min_score": str(min_score)}
    if estimator.config.is_top_down:
        used["detector"] = detector or DEFAULT_DETECTOR
        used["detector sha256"] = identify_model(used["detector"]).sha256 or ""
    summary = run_shard(estimator, found, out, shard=chosen, model=used, part_items=part, quiet=quiet)
    if not quiet:
        before = f", {summary.done_before} were done before" if summary.done_before else ""
        print(f"{summary.people} people in {summary.images} images of shard {chosen.index}/{chosen.count}{before}")
    if summary.failed:
        print(f"everypose: {len(summary.failed)} images failed:", file=sys.stderr)
        for reason in summary.failed.values():
            print(f"  {reason}", file=sys.stderr)
        raise typer.Exit(1)


@bulk_app.command("status")
def status(out: Run) -> None:
    """Print how far each shard is.

    Example: everypose bulk status poses
    """
    from everypose.bulk.check import states

    for one in states(out):
        state = "finished" if one.finished else "not finished"
        print(f"{one.shard.folder}  {one.done}/{one.items} images, {one.failed} failed, {one.rows} rows, {state}")


@bulk_app.command("verify")
def verify(out: Run) -> None:
    """Check that every image is there once and every part is as it was written.

    Example: everypose bulk verify poses
    """
    from everypose.bulk.check import problems

    if found := problems(out):
        for problem in found:
            print(f"everypose: {problem}", file=sys.stderr)
        raise typer.Exit(1)
    print("every image once, every part as it was written")


@bulk_app.command("merge")
def merge(
    out: Run,
    table: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
) -> None:
    """Verify the shards and join them in one Parquet file.

    Example: everypose bulk merge poses poses.parquet
    """
    from everypose.bulk.check import merge as merge_shards

    print(f"{merge_shards(out, table)} rows in {table}")
