"""Measure a bulk run on one core, and simulate many workers on one object store.

    python -m benchmarks.bulk PHOTOS --out DIR

The cost of an image is CPU time, the slope between runs over few and over more images, so that other work on the
machine hardly matters. Writes ``scaling.svg`` and ``scaling.json``, and prints the table of the documentation.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.bulk.simulation import PLANS, Store, Worker, simulate
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.studies.chart import line_chart

WORKERS = (1, 10, 100, 1000, 3000)
IMAGES = 10_000_000
FEW, MORE = 8, 72


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    worker, store = measure(options.photos), Store()
    outcomes = {
        plan.name: [simulate(IMAGES, workers, worker=worker, store=store, plan=plan) for workers in WORKERS]
        for plan in PLANS
    }
    options.out.mkdir(parents=True, exist_ok=True)
    chart = line_chart(
        "workers, one core each",
        "efficiency in %",
        places=[str(workers) for workers in WORKERS],
        lines={name: [100 * one.efficiency for one in found] for name, found in outcomes.items()},
    )
    (options.out / "scaling.svg").write_bytes(chart)
    found = {name: [asdict(one) for one in of_plan] for name, of_plan in outcomes.items()}
    record = {"worker": asdict(worker), "store": asdict(store), "images": IMAGES, "workers": WORKERS, "outcomes": found}
    (options.out / "scaling.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(asdict(worker)))
    print(f"| plan | {' | '.join(f'{workers} workers' for workers in WORKERS)} |")
    print(f"|---|{len(WORKERS) * '---|'}")
    for name, of_plan in outcomes.items():
        cells = [f"{one.seconds / 3600:.1f} h, {one.efficiency:.0%}, {one.store_busy:.0%}" for one in of_plan]
        print(f"| {name} | {' | '.join(cells)} |")


def measure(photos: Path) -> Worker:
    """Measure the default model on photos, on one core."""
    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[:MORE]
    if len(files) < MORE:
        raise SystemExit(f"{photos} has fewer than {MORE} images")
    with tempfile.TemporaryDirectory() as folder:
        few, _ = _run(files[:FEW], Path(folder, "few"))
        more, parts = _run(files, Path(folder, "more"))
    slope = (more - few) / (MORE - FEW)
    sizes = sum(path.stat().st_size for path in files) / MORE
    return Worker(slope, few - FEW * slope, sizes, parts / MORE)


def _run(files: list[Path], folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of a bulk run over the files and the bytes of its parts."""
    (folder / "photos").mkdir(parents=True)
    for path in files:
        shutil.copy(path, folder / "photos")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    core = {min(os.sched_getaffinity(0))}
    paths = [str(folder / "photos"), "--out", str(folder / "out")]
    command = [sys.executable, "-m", "everypose", "bulk", "run", *paths, "-q"]
    subprocess.run(command, check=True, preexec_fn=lambda: os.sched_setaffinity(0, core))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, float(sum(path.stat().st_size for path in (folder / "out").rglob("*.parquet")))


if __name__ == "__main__":
    main()
