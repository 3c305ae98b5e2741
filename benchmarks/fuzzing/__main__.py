"""Fuzzing: mutated inputs for every reader and command.

    python -m benchmarks.fuzzing --count 20000 --out fuzz.json [--only "image .png"] [--minutes 60]

Each mutation must be read or refused by one line, within ten seconds and 2 GB, without writing outside of its folder or
executing anything. Mutations run in child processes, so that one that ends its process is found and named, too.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fuzzing.commands import command_targets
from benchmarks.fuzzing.running import run
from benchmarks.fuzzing.targets import Target, data_targets, image_targets, model_targets, onnx_targets, result_targets
from everypose.core.process_setup import silence_opencv

CHUNK = 200


def all_targets() -> list[Target]:
    """Every reader and command."""
    readers = [*image_targets(), *data_targets(), *result_targets(), *model_targets(), *onnx_targets()]
    return [*readers, *command_targets()]


def in_child(target: Target, numbers: range) -> dict[str, object]:
    """Run mutations in a forked process; a process that dies is searched for the mutation that killed it."""
    answer = Path(tempfile.mkstemp(suffix=".json")[1])
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        with tempfile.TemporaryDirectory() as folder:
            answer.write_text(json.dumps(run(target, numbers, Path(folder)).__dict__), encoding="utf-8")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    text = answer.read_text(encoding="utf-8")
    answer.unlink()
    if status == 0 and text:
        result: dict[str, object] = json.loads(text)
        return result
    if len(numbers) == 1:
        return {
            "accepted": 0,
            "refused": 0,
            "seconds": 0.0,
            "faults": [f"{target.name} no. {numbers[0]}: died {status}"],
        }
    middle = len(numbers) // 2
    parts = [in_child(target, numbers[:middle]), in_child(target, numbers[middle:])]
    return merged(parts)


def merged(parts: list[dict[str, object]]) -> dict[str, object]:
    """The sum of reports."""
    sums = {key: sum(part[key] for part in parts) for key in ("accepted", "refused", "seconds")}  # type: ignore[misc]
    return {**sums, "faults": [fault for part in parts for fault in part["faults"]]}  # type: ignore[attr-defined]


def main() -> None:
    """Fuzz the named targets, one chunk at a time in turn, until the count or the time is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of each target")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--only", default="", help="part of the names of the targets to run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit for all")
    parser.add_argument("--out", type=Path, help="JSON file for the reports")
    arguments = parser.parse_args()
    silence_opencv()
    targets = [target for target in all_targets() if arguments.only in target.name]
    reports: dict[str, list[dict[str, object]]] = {target.name: [] for target in targets}
    begin = time.monotonic()
    for start in range(arguments.first, arguments.first + arguments.count, CHUNK):
        for target in targets:
            if (time.monotonic() - begin) / 60 < arguments.minutes:
                numbers = range(start, min(start + CHUNK, arguments.first + arguments.count))
                reports[target.name].append(in_child(target, numbers))
                if arguments.out:
                    totals = {name: merged(parts) for name, parts in reports.items()}
                    arguments.out.write_text(json.dumps(totals, indent=1), encoding="utf-8")
    faults = 0
    for name, parts in reports.items():
        total = merged(parts)
        found: list[str] = total["faults"]  # type: ignore[assignment]
        faults += len(found)
        print(f"{name:24} {total['accepted']:>7} read {total['refused']:>7} refused {len(found):>4} faults")
        for fault in found[:5]:
            print(f"    {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
