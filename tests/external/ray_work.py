"""What Ray actors run in the tests: a module of its own, because the processes of other machines import it."""

import os
import time
from functools import partial
from pathlib import Path

from everypose.bulk.run import ShardSummary, run_shard
from everypose.bulk.shards import Shard
from everypose.bulk.sources import find_sources
from everypose.inference.estimator import Estimator
from everypose.inference.loading import load

MODEL = {"model": "stand-in"}


def process(estimator: Estimator, shard: Shard, *, photos: Path, out: Path, pause: float = 0.0) -> ShardSummary:
    """Process a shard as the command does, and note which process did; with a pause, so that a machine can be lost."""
    time.sleep(pause)
    with (out.parent / "processes").open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    sources = find_sources([str(photos)], out=out, quiet=True)
    return run_shard(estimator, sources, out, shard=shard, model=MODEL, part_items=2, quiet=True)


def loader(model: Path) -> partial[Estimator]:
    """Return what loads the model in an actor."""
    return partial(load, model, threads=1)
