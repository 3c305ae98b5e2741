"""``everypose bulk``: large sets of images in shards, on any number of machines."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.bulk_options import BulkModelOptions, BulkSourceOptions
from everypose.cli.bulk_plan import plan
from everypose.cli.option_groups import expand_options
from everypose.core.counted import counted
from everypose.errors import UsageError
from everypose.models.default_names import DEFAULT_DETECTOR

bulk_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Large sets of images in shards.")

bulk_app.command()(plan)
Run = Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of 'everypose bulk run'.")]


@bulk_app.command("run")
@expand_options
def run(
    *,
    inputs: BulkSourceOptions,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of all shards.")],
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Shard I of N, from 0. [default: from a SLURM array or Kubernetes job]"),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(help="Number of shards of an indexed Kubernetes job or a run on Ray. [default: SLURM's]", min=1),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Process all shards on Ray: local, auto, or the address of a cluster."),
    ] = None,
    ray_actors: Annotated[
        int | None, typer.Option(help="Most actors on Ray. [default: as many as the cluster can hold]", min=1)
    ] = None,
    ray_cpus: Annotated[int, typer.Option(help="CPUs and threads of an actor.", min=1)] = 1,
    ray_gpus: Annotated[
        float | None, typer.Option(help="GPUs of an actor, or a share of one. [default: 1 with --device cuda]", min=0)
    ] = None,
    chosen: BulkModelOptions,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Process images again that could not be read.")
    ] = False,
    part: Annotated[int, typer.Option(help="Images in a Parquet part.", min=1)] = 256,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Process one shard of the images and videos, or all of them on Ray; run it again to resume.

    Every shard must get the same sources and options. Inputs that cannot be read are recorded; the exit code is then 1.

    Example: everypose bulk run photos/ --out poses --shard 3/16
    """
    from everypose.bulk.run import ShardSummary, run_shard
    from everypose.bulk.shards import Shard, parse_shard, shard_of_job
    from everypose.inference.device_choice import AUTO
    from everypose.inference.estimator import Estimator
    from everypose.models.identity import identify_model

    if ray is not None and shard is not None:
        raise UsageError("--ray processes all shards: leave out --shard")
    own = Shard(0, 1)
    if ray is None:
        own = parse_shard(shard) if shard is not None else shard_of_job(os.environ, shards)
    found = inputs.find(out, quiet=quiet)
    device = chosen.used_device()
    make_estimator = partial(chosen.load, device=device, threads=None if ray is None else ray_cpus)
    estimator = make_estimator()
    used = {"model": chosen.model, "sha256": identify_model(chosen.model).sha256 or ""}
    used |= {name: str(getattr(chosen, name)) for name in ("min_score", "size", "flip", "tiles")}
    if chosen.device == AUTO:
        used["device"] = device
    if found.clips:
        used |= {"every": str(inputs.every), "track": str(inputs.track)}
    if estimator.config.is_top_down:
        used["detector"] = chosen.detector or DEFAULT_DETECTOR
        detectors = [identify_model(name.strip()) for name in used["detector"].split(",")]
        used["detector sha256"] = " ".join(detector.sha256 or "" for detector in detectors)

    def process(estimator: Estimator, shard: Shard) -> ShardSummary:
        return run_shard(
            estimator,
            found,
            out,
            shard=shard,
            model=used,
            part_items=part,
            video=inputs.video,
            retry_failed=retry_failed,
            quiet=quiet or ray is not None,
        )

    if ray is None:
        summary = process(estimator, own)
        processed = f"shard {own.index}/{own.count}"
    else:
        from everypose.bulk.ray_run import ActorPool, all_shards, run_shards

        gpus = (1.0 if device.startswith("cuda") else 0.0) if ray_gpus is None else ray_gpus
        pool = ActorPool(ray, ray_actors, cpus=ray_cpus, gpus=gpus)
        chosen_shards = all_shards(found, out, shards)
        summary = run_shards(make_estimator, process, chosen_shards, pool=pool, quiet=quiet)
        processed = counted(len(chosen_shards), "shard")
    if not quiet:
        before = f", {summary.done_before} were done before" if summary.done_before else ""
        segments = f" and {counted(summary.segments, 'segment')} of videos" if found.clips else ""
        images = f"{counted(summary.images, 'image')}{segments}"
        print(f"{counted(summary.people, 'person', 'people')} in {images} of {processed}{before}")
    if summary.failed:
        print(f"everypose: {counted(len(summary.failed), 'input')} failed:", file=sys.stderr)
        for reason in summary.failed.values():
            print(f"  {reason}", file=sys.stderr)
        raise typer.Exit(1)


@bulk_app.command("status")
def status(out: Run) -> None:
    """Print how far each shard is, and how the run compares with its plan, if it has one.

    Example: everypose bulk status poses
    """
    from everypose.bulk.check import shard_states
    from everypose.bulk.plan import compare, read_plan

    found = shard_states(out)
    for one in found:
        state = "finished" if one.finished else "not finished"
        images = "?" if one.items is None else one.items
        print(f"{one.shard.folder}  {one.done}/{images} images, {one.failed} failed, {one.rows} rows, {state}")
    if (made := read_plan(out)) is not None:
        print("\n".join(compare(made, found)))


@bulk_app.command("verify")
def verify(out: Run) -> None:
    """Check that every image is there once and every part is as it was written.

    Example: everypose bulk verify poses
    """
    from everypose.bulk.check import find_problems

    if found := find_problems(out):
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
    from everypose.bulk.merge import merge as merge_shards

    print(f"{merge_shards(out, table)} rows in {table}")
