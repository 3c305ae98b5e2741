"""Process the shards of a bulk run by a pool of Ray actors, each of which has loaded the model once."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everypose.bulk.records import MANIFEST, read_manifest
from everypose.bulk.run import ShardSummary
from everypose.bulk.shards import Shard
from everypose.bulk.sources import Sources
from everypose.core.progress import track
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.inference.estimator import Estimator

IMAGES_OF_A_SHARD = 64
MOST_SHARDS = 1024
LOCAL = "local"
"""The address that starts Ray on this machine for the run."""
_MESSAGE = re.compile(r"^\s*(?:\w+\.)*\w*Error: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class ActorPool:
    """The actors of a run.

    >>> ActorPool(address="auto", most=8, cpus=2).gpus
    0.0

    Attributes:
        address: address of the Ray cluster, such as "auto" or "ray://head:10001"; "local" starts Ray on this machine.
        most: largest number of actors; None for as many as the cluster can hold, also when machines join during the
            run.
        cpus: CPUs of each actor, and threads of its model.
        gpus: GPUs of each actor, or a share of one.
    """

    address: str = LOCAL
    most: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class ShardActor:
    """Processes shards; the model is loaded once.

    Args:
        load: loads the model.
        process: processes a shard with it.
        folder: the working directory, which relative paths are relative to.

    >>> def process(estimator, shard):
    ...     return ShardSummary(done_before=0, images=10, people=12, failed={})
    >>> actor = ShardActor(load=lambda: "a model", process=process, folder=".")
    >>> actor({"index": 0, "count": 4})
    {'done_before': 0, 'images': 10, 'people': 12, 'segments': 0, 'failed': '{}'}
    """

    def __init__(
        self, load: Callable[[], Estimator], process: Callable[[Estimator, Shard], ShardSummary], folder: str
    ) -> None:
        os.chdir(folder)  # an actor starts in a folder of Ray's
        self._estimator = load()
        self._process = process

    def __call__(self, row: Mapping[str, int]) -> dict[str, int | str]:
        """Process the shard of a row, which has its ``index`` and ``count``; return its summary as a row."""
        summary = self._process(self._estimator, Shard(int(row["index"]), int(row["count"])))
        return {
            "done_before": summary.done_before,
            "images": summary.images,
            "people": summary.people,
            "segments": summary.segments,
            "failed": json.dumps(summary.failed),
        }


def all_shards(sources: Sources, out: Path, count: int | None = None) -> list[Shard]:
    """Return all shards of a run on Ray.

    >>> [shard.index for shard in all_shards(Sources({"a.jpg": "a.jpg"}), Path("poses"), count=3)]
    [0, 1, 2]

    Args:
        sources: the images, archives and videos of the run.
        out: the output folder; if it contains a run, the default is that run's number of shards.
        count: number of shards; by default about 64 images, one archive or one segment of a video each, at most 1024.
    """
    if count is None and (first := next(iter(sorted(out.glob(f"shard-*/{MANIFEST}"))), None)) is not None:
        count = read_manifest(first.parent).count
    if count is None:
        count = len(sources.images) // IMAGES_OF_A_SHARD + len(sources.archives) + len(sources.clips)
        count = min(max(count, 1), MOST_SHARDS)
    return [Shard(index, count) for index in range(count)]


def run_shards(
    load: Callable[[], Estimator],
    process: Callable[[Estimator, Shard], ShardSummary],
    shards: Sequence[Shard],
    *,
    pool: ActorPool,
    quiet: bool = False,
) -> ShardSummary:
    """Process shards by Ray Data, which gives each to one of the actors; return the sum of their summaries.

    A shard whose actor or machine is lost is given to another, which continues after its last complete part.

    Args:
        load: loads the model in an actor.
        process: processes a shard, such as `everypose.bulk.run.run_shard` with its other arguments.
        shards: the shards to process.
        pool: the actors.
        quiet: show no progress.

    Raises:
        MissingDependencyError: if Ray is not installed.
        UsageError: if the cluster cannot be reached or cannot hold an actor.
        EveryposeError: if a shard fails.
    """
    with _connected(pool.address) as ray:
        capacity = _capacity([node["Resources"] for node in ray.nodes() if node["Alive"]], pool)
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"index": shard.index, "count": shard.count} for shard in shards]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            ShardActor,
            fn_constructor_kwargs={"load": load, "process": process, "folder": str(Path.cwd())},
            compute=ray.data.ActorPoolStrategy(
                min_size=min(capacity, len(shards), pool.most or capacity),
                max_size=pool.most,
                max_tasks_in_flight_per_actor=2,
            ),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
        )
        total = ShardSummary(0, 0, 0, {})
        try:
            for row in track(results.iter_rows(), "shards", total=len(rows), quiet=quiet):
                total += ShardSummary(**{**row, "failed": json.loads(row["failed"])})
        except ray.exceptions.RayError as error:
            raise EveryposeError(_cause(error)) from error
    return total


def _capacity(machines: Sequence[Mapping[str, float]], pool: ActorPool) -> int:
    """Return how many actors the machines of a cluster can hold, by their resources.

    Raises:
        UsageError: if none can hold one.
    """
    wanted = {"CPU": pool.cpus, "GPU": pool.gpus}
    capacity = sum(
        int(min(machine.get(name, 0) // number for name, number in wanted.items() if number)) for machine in machines
    )
    if not capacity:
        gpus = f" and {pool.gpus:g} GPUs" if pool.gpus else ""
        raise UsageError(f"no machine of the Ray cluster has the {pool.cpus} CPUs{gpus} of an actor")
    return capacity


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster, and disconnect afterwards unless it was connected before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError("bulk runs on Ray", "ray") from error
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # the console; Ray's log file keeps everything
            handler.setLevel(logging.ERROR)
    connected = ray.is_initialized()
    if not connected:
        try:
            ray.init(
                address,
                include_dashboard=False if address == LOCAL else None,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"no Ray cluster at {address}: {_last_line(error)}") from error
    try:
        yield ray
    finally:
        if not connected:
            ray.shutdown()


def _last_line(error: BaseException) -> str:
    """Return the last line of a message, without the name of the exception."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].partition("Error: ")[2] or lines[-1].strip()


def _cause(error: BaseException) -> str:
    """Return the message of the first exception in Ray's text, which is a chain of tracebacks."""
    found = _MESSAGE.search(str(error))
    return found[1] if found else _last_line(error)
