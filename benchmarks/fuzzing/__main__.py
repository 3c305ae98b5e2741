"""Damaged inputs by the thousand for every reader and command.

    python -m benchmarks.fuzzing --count 20000 --out fuzz.json [--only "image .png"] [--minutes 60]

Each mutation must be read or refused by one line, within ten seconds and 2 GB, without writing outside of its output
folder or executing anything. Counts go to the file of --out after each turn; the same command goes on where it ended.
The last column is the CPU time of one mutation.
`--show NAME NUMBER` runs one mutation in this process and prints what comes of it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are imported

from benchmarks.fuzzing.all_targets import all_targets
from benchmarks.fuzzing.children import in_child
from benchmarks.fuzzing.running import attempt
from benchmarks.fuzzing.target import Target
from everypose.core.process_setup import silence_opencv

TURN_SECONDS = 10.0


def read_state(path: Path | None) -> dict[str, dict[str, Any]]:
    """The counts of an earlier run."""
    if path is None or not path.is_file():
        return {}
    state: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return state


def fuzz(targets: list[Target], count: int, minutes: float, out: Path | None) -> dict[str, dict[str, Any]]:
    """Fuzz targets in turns of `TURN_SECONDS`, until the count or the time is reached."""
    state = read_state(out)
    end = time.monotonic() + 60 * minutes
    unfinished = [target for target in targets if state.get(target.name, {}).get("next", 0) < count]
    with tempfile.TemporaryDirectory() as folder:
        for target in unfinished:  # imports what it needs, which no forked process then pays
            outcome, what = attempt(target, -1, Path(folder) / "case")
            if outcome == "fault" or (outcome == "refused" and target.accepts):
                sys.exit(f"{target.name}: its whole input is not read: {what}")
    while unfinished and time.monotonic() < end:
        for target in list(unfinished):
            total = state.setdefault(
                target.name, {"next": 0, "accepted": 0, "refused": 0, "seconds": 0.0, "faults": []}
            )
            report, total["next"] = in_child(target, total["next"], count, seconds=TURN_SECONDS)
            for key, value in asdict(report).items():
                total[key] += value
            if total["next"] >= count:
                unfinished.remove(target)
            if out is not None:
                part = out.with_name(f".{out.name}")
                part.write_text(json.dumps(state, indent=1), encoding="utf-8")
                part.replace(out)
            if time.monotonic() > end:
                break
    return state


def main() -> None:
    """Fuzz what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of each target")
    parser.add_argument("--only", action="append", help="part of the names of the targets to run; repeatable")
    parser.add_argument("--part", default="0/1", help="I/N: every N-th target, from the I-th, for N runs side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit for all")
    parser.add_argument("--out", type=Path, help="JSON file for the counts, from which a stopped run goes on")
    parser.add_argument("--show", nargs=2, metavar=("NAME", "NUMBER"), help="run one mutation; -1 is the whole input")
    arguments = parser.parse_args()
    silence_opencv()
    cv2.setNumThreads(1)  # OpenCV's own threads do not exist in the forked processes, which would wait for them
    targets = all_targets()
    if arguments.show:
        (target,) = (one for one in targets if one.name == arguments.show[0])
        with tempfile.TemporaryDirectory() as folder:
            print(*attempt(target, int(arguments.show[1]), Path(folder) / "case"))
        return
    index, parts = map(int, arguments.part.split("/"))
    chosen = [one for one in targets if not arguments.only or any(name in one.name for name in arguments.only)]
    state = fuzz(chosen[index::parts], arguments.count, arguments.minutes, arguments.out)
    faults = 0
    for name, total in state.items():
        faults += len(total["faults"])
        each = 1000 * total["seconds"] / max(1, total["next"])
        print(
            f"{name:26} {total['next']:>7} {total['accepted']:>7} read {total['refused']:>7} refused "
            f"{len(total['faults']):>4} faults  {each:6.1f} ms"
        )
        for fault in total["faults"][:5]:
            print(f"    {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
