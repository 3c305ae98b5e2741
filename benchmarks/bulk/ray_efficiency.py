"""Throughput of bulk runs on local Ray clusters next to one process.

    python -m benchmarks.bulk.ray_efficiency PHOTOS --out FILE
    python -m benchmarks.bulk.ray_efficiency --summary FILE

A round runs ``everypose bulk run`` over the photos in five ways, in turn: one process on one core; one process on all
cores; one process on each core, each with a shard; and Ray clusters of two and of four machines
(`ray.cluster_utils.Cluster`), each with one CPU of Ray's, one actor, and one core, which two of four machines share
where there are two cores. Call it once for each round, with ``--way`` to
divide a round.

The throughput is that of the warm part, in which all workers compute: from the moment when the last of them has begun
its first part until the first of them has ended its last one, by the records of the parts. What comes before is the
start-up, and is reported separately.

Efficiency is throughput over that of one process on one core, times the number of cores in use: four machines on two
cores have half a core each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from everypose.bulk.check import find_problems
from everypose.bulk.records import read_parts
from everypose.data.image_header import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

ONE_CORE = "one process on one core"
ALL_CORES = "one process on all cores"
EACH_CORE = "one process on each core"
RAY_TWO = "two Ray machines"
RAY_FOUR = "four Ray machines"
WAYS = (ONE_CORE, RAY_TWO, EACH_CORE, RAY_FOUR, ALL_CORES)
PART = 8
"""Images of a part: short, so that the warm part is known to a second."""
SHARDS = 32
OBJECT_STORE = 100 << 20


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        way: how it ran, one of `WAYS`.
        workers: processes or actors.
        images: of the warm part.
        seconds: of the warm part.
        start_seconds: from the start of the command to the warm part; the cluster was started before.
        end_seconds: from the end of the warm part to that of the command.
    """

    way: str
    workers: int
    images: float
    seconds: float
    start_seconds: float
    end_seconds: float

    @property
    def throughput(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="JSON lines, one a run; added to those that are there")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this one; repeatable")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--summary", type=Path, help="print the table of a file of runs")
    options = parser.parse_args()
    if options.summary:
        print("\n".join(summary([Measured(**json.loads(line)) for line in options.summary.read_text().splitlines()])))
        return
    if options.photos is None or options.out is None:
        parser.error("give PHOTOS and --out, or --summary")
    files = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(files) < options.images:
        raise SystemExit(f"{options.photos} has {len(files)} images, fewer than {options.images}")
    for way in options.way or WAYS:
        one = measure(way, files[: options.images])
        with options.out.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(one)) + "\n")
        print(f"{way}: {one.throughput:.2f} images a second, {one.seconds:.0f} s, start {one.start_seconds:.1f} s")


def measure(way: str, files: list[Path]) -> Measured:
    """Run the default model over the images in one way."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "images.txt")
        listed.write_text("".join(f"{path.resolve()}\n" for path in files))
        out = Path(folder, "out")
        options: list[list[str]] = [["--shard", "0/1"]]
        used = [cores[:1] if way == ONE_CORE else cores]
        if way == EACH_CORE:
            options = [["--shard", f"{index}/{len(cores)}"] for index in range(len(cores))]
            used = [[core] for core in cores]
        if way in (RAY_TWO, RAY_FOUR):
            cluster = _cluster(2 if way == RAY_TWO else 4, cores)
            options = [["--ray", cluster.address, "--shards", str(SHARDS)]]
        begin = time.time()
        processes = [
            _start([*each, "--out", str(out)], listed, cores=own) for each, own in zip(options, used, strict=True)
        ]
        if any(process.wait() for process in processes):
            raise SystemExit(f"{way}: the run failed")
        end = time.time()
        if way in (RAY_TWO, RAY_FOUR):
            cluster.shutdown()
        if found := find_problems(out):
            raise SystemExit(f"{way}: {found[0]}")
        workers = {RAY_TWO: 2, RAY_FOUR: 4, EACH_CORE: len(cores)}.get(way, 1)
        return _warm_part(way, _parts(out), workers, begin=begin, end=end)


def _cluster(machines: int, cores: list[int]) -> "Cluster":
    """Start a cluster whose machines use the cores in turn, each one of them."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": OBJECT_STORE}
    cluster = None
    try:
        for number in range(machines):
            os.sched_setaffinity(0, {cores[number % len(cores)]})  # Ray's processes inherit it
            if cluster is None:
                cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
            else:
                cluster.add_node(**small)
    finally:
        os.sched_setaffinity(0, cores)
    return cluster


def _start(options: list[str], listed: Path, *, cores: list[int]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "everypose", "bulk", "run", "-", "--part", str(PART), "-q", *options]
    with listed.open("rb") as file:
        return subprocess.Popen(command, stdin=file, preexec_fn=lambda: os.sched_setaffinity(0, cores))


def _parts(out: Path) -> list[tuple[float, float, int]]:
    """Return begin, end and number of images of each part."""
    found = []
    for folder in out.glob("shard-*"):
        for path, record in read_parts(folder).items():
            end = path.with_suffix(".json").stat().st_mtime
            found.append((end - record.seconds, end, len(record.items)))
    return found


def _warm_part(way: str, parts: list[tuple[float, float, int]], workers: int, *, begin: float, end: float) -> Measured:
    """Return the part of a run between the first and the last moment at which all workers had a part."""
    changes = sorted([(first, 1) for first, _, _ in parts] + [(last, -1) for _, last, _ in parts])
    busy, full = 0, []
    for moment, change in changes:
        was_full = busy >= workers
        busy += change
        if was_full or busy >= workers:
            full.append(moment)
    if len(full) < 2:
        raise SystemExit(f"{way}: the {workers} workers never had a part each at the same time")
    first, last = min(full), max(full)
    images = sum(
        number * max(0.0, min(stop, last) - max(start, first)) / max(stop - start, 1e-9)
        for start, stop, number in parts
    )
    return Measured(way, workers, images, last - first, first - begin, end - last)


def summary(runs: list[Measured]) -> list[str]:
    """Return a table: median over the runs of each way, and efficiency by rounds of one run a way."""
    cores = len(os.sched_getaffinity(0))
    by_way = {way: [run for run in runs if run.way == way] for way in WAYS}
    used = {ONE_CORE: 1}
    lines = [
        "| way | rounds | cores | images a second | of one core times cores | of one process on each core | start-up |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in (ONE_CORE, ALL_CORES, EACH_CORE, RAY_TWO, RAY_FOUR):
        own = by_way[way]
        if not own:
            continue
        number = used.get(way, cores)
        ceiling = [number / cores * run.throughput for run in by_way[EACH_CORE]]
        ideal = [number * run.throughput for run in by_way[ONE_CORE]]
        cells = [
            way,
            str(len(own)),
            str(number),
            f"{median(run.throughput for run in own):.2f}",
            _ratios(own, ideal),
            _ratios(own, ceiling),
            f"{median(run.start_seconds for run in own):.1f} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratios(own: list[Measured], others: list[float]) -> str:
    """Return the median and the range of the ratios of paired rounds."""
    ratios = sorted(one.throughput / other for one, other in zip(own, others, strict=False))
    return f"{median(ratios):.1%} ({ratios[0]:.1%} to {ratios[-1]:.1%})" if ratios else ""


if __name__ == "__main__":
    main()
