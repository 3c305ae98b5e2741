"""Run mutations of a target and check the conditions that hold for each of them."""

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from benchmarks.fuzzing.targets import Target
from everypose.errors import EveryposeError

MOST_SECONDS = 10
MOST_MEMORY = 2 * 1024**3
_EXECUTING = ("subprocess.Popen", "os.exec", "os.system", "os.posix_spawn", "os.spawn", "os.fork")
_REMOVING = ("os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "shutil.rmtree")


@dataclass
class Report:
    """Results of a target's mutations.

    Attributes:
        accepted: mutations that were read.
        refused: mutations that were refused by an error of one line.
        faults: one text for each mutation that broke a rule, with its number.
        seconds: wall-clock time.
    """

    accepted: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Guard:
    """Records writes outside of a folder, and executed code, from Python's audit events."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder is None:
            return
        if event in _EXECUTING:
            self.found.append(f"executed: {event} {arguments[:1]}")
        elif event == "open":
            name, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(name, str | bytes) and not self._is_inside(os.fsdecode(name)):
                self.found.append(f"wrote outside: {os.fsdecode(name)}")
        elif event in _REMOVING and isinstance(arguments[0], str | bytes):
            name = os.fsdecode(arguments[0])
            if not self._is_inside(name):
                self.found.append(f"{event} outside: {name}")

    def _is_inside(self, name: str) -> bool:
        path = os.path.realpath(name)
        return path.startswith((f"{self.folder}{os.sep}", "/dev/null", "/proc/self")) or "__pycache__" in path


_GUARD: list[_Guard] = []


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Yield a list of what the block executes, or writes outside of ``folder``."""
    if not _GUARD:  # audit hooks cannot be removed
        _GUARD.append(_Guard())
    guard = _GUARD[0]
    guard.found, guard.folder = [], os.path.realpath(folder)
    try:
        yield guard.found
    finally:
        guard.folder = None


def _too_slow(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"more than {MOST_SECONDS} seconds")


def attempt(target: Target, number: int, folder: Path) -> tuple[str, str]:
    """Run one mutation.

    Args:
        target: what reads it.
        number: which mutation; the same number always gives the same one.
        folder: an empty folder for it.

    Returns:
        "accepted", "refused" or "fault", and what the fault is.
    """
    rng = random.Random(f"{target.name} {number}")
    content = target.mutate(rng.choice(target.seeds), rng)
    (folder / "out").mkdir(parents=True)
    outcome, what = "accepted", ""
    previous = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(MOST_SECONDS)
    try:
        with watched(folder) as broken:
            target.run(content, folder)
    except EveryposeError as error:
        outcome = "refused"
        if "\n" in str(error) or not str(error):
            outcome, what = "fault", f"not one line: {str(error)[:200]!r}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome, what = "fault", f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})"
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    if broken:
        outcome, what = "fault", "; ".join(broken[:3])
    return outcome, what


def run(target: Target, numbers: range, folder: Path) -> Report:
    """Run many mutations of a target, each in a folder of its own below ``folder``."""
    report = Report()
    begin = time.monotonic()
    before = _peak_memory()
    for number in numbers:
        place = folder / "case"
        outcome, what = attempt(target, number, place)
        shutil.rmtree(place, ignore_errors=True)
        if outcome == "fault":
            report.faults.append(f"{target.name} no. {number}: {what}")
        elif outcome == "accepted":
            report.accepted += 1
        else:
            report.refused += 1
    if _peak_memory() - before > MOST_MEMORY:
        report.faults.append(f"{target.name}: more than 2 GB of memory")
    report.seconds = time.monotonic() - begin
    return report


def _peak_memory() -> int:
    """The process's largest resident memory so far, in bytes (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
