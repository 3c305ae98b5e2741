"""Measure what everypose costs, and write docs/evidence/performance.md.

    python -m benchmarks                        # everything, about 15 minutes on two cores
    python -m benchmarks --only boir startup    # some sections; the page keeps the others as they were
    python -m benchmarks --quick                # under five minutes: a smoke run, into out/performance; then ratios
                                                # next to the last committed record (benchmarks.regression)

A section reports what it could not measure because a file was not given: a cascade's networks, annotated photos, a
trained model. Each section runs in its own process, so that memory and threads of one do not affect another.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from importlib import import_module
from pathlib import Path

from benchmarks.performance import machine, page
from benchmarks.performance.record import Options, Record

SECTIONS = {
    "roofline": "Roofline",
    "precision": "Reduced precision",
    "boir": "BoIR-W32 at 512",
    "default_model": "The bundled model, end to end",
    "automatic_device": "The device auto",
    "crops": "Networks on crops: MIPNet and ViTPose",
    "people": "What a person costs the bundled models",
    "folder": "Many images",
    "video": "Videos",
    "training": "Training",
    "training_step": "Training steps",
    "training_memory": "Memory of a training",
    "gpu": "GPU",
    "startup": "Start-up",
    "memory": "Memory",
}
APART = {"peers": "Next to transformers and rtmlib"}
"""Sections that need an environment of their own: `make compare-speed`."""
PATIENCE = 600
"""Seconds after which a section is stopped."""


def main(arguments: Sequence[str]) -> int:
    """Measure the sections, one record each, and write the page; exit code 1 if one failed."""
    given = parse(arguments)
    out = given.out or Path("out/performance" if given.quick else "docs/evidence")
    failed = []
    if len(given.only) == 1:
        measure_section(given.only[0], arguments, options_of(given), out)
    else:
        failed = [name for name in given.only if not measured_apart(name, arguments)]
    write_page(out)
    for name in failed:
        print(f"{name} failed, or took more than {PATIENCE} s", file=sys.stderr)
    if given.quick and given.only == list(SECTIONS):
        print("comparing with the record", file=sys.stderr, flush=True)
        compared = subprocess.run([sys.executable, "-m", "benchmarks.regression", "--threads", str(given.threads)])
        return int(bool(failed)) or compared.returncode
    return int(bool(failed))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure; all by default")
    add("--quick", action="store_true", help="each section with tiny networks, then speed compared with the record")
    add("--out", type=Path, help="folder of the page; docs/evidence by default, out/performance with --quick")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--rounds", type=int, default=15, help="of each measurement, at most")
    add("--images", type=int, default=200, help="of the folder that goes through the pipeline")
    add("--photos", type=Path, help="folder of photos; the package's pictures by default")
    add("--train-annotations", type=Path, help="COCO annotations of some of the photos, for the loader")
    add("--test-annotations", type=Path, help="COCO annotations of others, for the AP that int8 costs")
    add("--trained", type=Path, help="a model of everypose in float32 (.onnx), for the AP that int8 costs")
    add("--detector", type=Path, help="the cascade's detector (.onnx)")
    add("--crop-network", type=Path, help="the cascade's network on crops (.onnx)")
    add("--clip", type=Path, help="a video of people; made of a picture of the package by default")
    return parser.parse_args(arguments)


def options_of(given: argparse.Namespace) -> Options:
    """The options of the sections."""
    return Options(**{field.name: getattr(given, field.name) for field in fields(Options)})


def measured_apart(name: str, arguments: Sequence[str]) -> bool:
    """Measure a section in its own process; returns whether it succeeded."""
    print(f"measuring {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks", *arguments, "--only", name]
    try:
        return subprocess.run(command, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def measure_section(name: str, arguments: Sequence[str], options: Options, out: Path) -> None:
    """Measure a section in this process; write its record and its pictures."""
    section = import_module(f"benchmarks.performance.{name}")
    before = machine.Moment.now()
    findings = section.measure(options)
    after = machine.Moment.now()
    record = Record(
        findings=findings,
        command=without_folders(arguments),
        date=date.today().isoformat(),
        machine=machine.describe(),
        versions=machine.versions(),
        others=after.others_since(before),
        seconds=after.clock - before.clock,
        quick=options.quick,
    )
    record.write(record_of(name, out))
    for picture, content in findings.pictures.items():
        path = out / "pictures" / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def write_page(out: Path) -> None:
    """Write the page from all existing records."""
    found = {name: record_of(name, out) for name in (*SECTIONS, *APART)}
    records = {name: Record.read(path) for name, path in found.items() if path.exists()}
    titles = SECTIONS | {name: title for name, title in APART.items() if name in records}
    (out / "performance.md").write_text(page.render(titles, records), encoding="utf-8")
    print(out / "performance.md")


def record_of(name: str, out: Path) -> Path:
    """The path of a section's record."""
    return out / "logs" / "performance" / f"{name}.json"


def without_folders(arguments: Sequence[str]) -> str:
    """The command as the page shows it: files and folders without their parents."""
    return shlex.join(["python", "-m", "benchmarks", *(Path(word).name or word for word in arguments)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
