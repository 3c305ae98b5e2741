"""Section 8: start-up times of commands, each in its own process, with files in the disk cache."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.performance.photos import photos_of
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Run, in_turns

SECONDS = 40
BARE, IMPORT, HELP, FIRST, PREDICT = (
    "python alone",
    "import everypose",
    "everypose --help",
    "first photo with the default model",
    "everypose predict, one photo",
)
WANTED = {IMPORT: 0.15, HELP: 0.4, FIRST: 1.5}
LOAD_AND_RUN = "import sys, everypose; everypose.load()(sys.argv[1])"


def measure(options: Options) -> Findings:
    """Time the starts in turns, after one that fills the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        (photo,) = photos_of(options, Path(folder), 1)
        timings = in_turns(
            starts(photo, Path(folder, "out")), replace(options.effort(SECONDS), most=min(5, options.rounds))
        )
    rows = [(name, f"{timings.of(name):.2f}") for name in timings.seconds]
    targets = [
        Target(f"{name} < {wanted:g} s", f"{timings.of(name):.2f} s", timings.of(name).median < wanted)
        for name, wanted in WANTED.items()
    ]
    note = "All times are those of the whole process, including the start of Python (the first row)."
    return Findings(targets, [Table(("start", "s"), rows, f"{timings.rounds} rounds")], [note])


def starts(photo: Path, out: Path) -> dict[str, Run]:
    """Each start, to be called."""
    commands = {
        BARE: ("-c", "pass"),
        IMPORT: ("-c", "import everypose"),
        HELP: ("-m", "everypose", "--help"),
        FIRST: ("-c", LOAD_AND_RUN, str(photo)),
        PREDICT: ("-m", "everypose", "predict", str(photo), "-o", str(out), "--quiet"),
    }
    return {name: start(words) for name, words in commands.items()}


def start(words: tuple[str, ...]) -> Run:
    """A Python process with these arguments."""
    return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)
