"""Running mutations of a target and checking what every one of them must keep."""

import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from benchmarks.fuzzing.target import Target
from benchmarks.fuzzing.watching import OPEN_FOLDERS, watched
from everypose.errors import EveryposeError

MOST_SECONDS = 10
IMPORT_SECONDS = 120
"""What a whole input may take, the first one, for which packages are imported."""
WAITING_FACTOR = 12
"""How many times as long a mutation may wait in all, computing or not."""
MOST_MEMORY = 2 * 1024**3
WORDS_OF_LIBRARIES = (
    "Value error", "Input should be", "Extra inputs are not permitted", "Field required", "instance of", "__init__",
    "validation error", "For further information", "object is not", "object has no attribute", "unexpected keyword",
)  # fmt: skip
"""Parts of messages of pydantic and Python, which a user of everypose cannot understand."""
Outcome = Literal["accepted", "refused", "fault"]


@dataclass
class Report:
    """What came of a target's mutations.

    Attributes:
        accepted: mutations that were read.
        refused: mutations that were refused by an error of one line.
        faults: one text for each mutation that broke a rule, with its number.
        seconds: CPU time.
    """

    accepted: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, target: Target, number: int, outcome: Outcome, what: str) -> None:
        """Count one mutation."""
        if outcome == "fault":
            self.faults.append(f"{target.name} no. {number}: {what}")
        elif outcome == "accepted":
            self.accepted += 1
        else:
            self.refused += 1


class TooSlowError(BaseException):
    """A mutation took more than `MOST_SECONDS`; no ``except Exception`` of the target catches it."""


def _watch(seconds: int) -> Callable[[int, FrameType | None], None]:
    """A handler of the alarm: time counts while this process runs; on a busy machine it may wait a while longer."""
    began, computed = time.monotonic(), time.process_time()

    def too_slow(_: int, __: FrameType | None) -> None:
        if time.process_time() - computed < seconds and time.monotonic() - began < WAITING_FACTOR * seconds:
            signal.alarm(seconds)
            return
        raise TooSlowError("it takes too long")

    return too_slow


@contextlib.contextmanager
def _case(folder: Path) -> Iterator[None]:
    """Empty folders for one mutation, of which temporary files get one; they are removed with the block."""
    for name in OPEN_FOLDERS:
        (folder / name).mkdir(parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def attempt(target: Target, number: int, folder: Path) -> tuple[Outcome, str]:
    """Run one mutation.

    Args:
        target: what reads it.
        number: which mutation, see :meth:`Target.input`.
        folder: a folder for it, which is made and removed.

    Returns:
        "accepted", "refused" or "fault", and why it was refused or what the fault is.
    """
    content = target.input(number)
    outcome: Outcome = "accepted"
    what = ""
    seconds = MOST_SECONDS if number >= 0 else IMPORT_SECONDS
    previous = signal.signal(signal.SIGALRM, _watch(seconds))
    memory = peak_memory()
    with _case(folder):
        signal.alarm(seconds)
        try:
            with watched(folder) as broken:
                target.run(content, folder)
        except EveryposeError as error:
            outcome, what = "refused", str(error)
            if "\n" in what or not what:
                outcome, what = "fault", f"not one line: {what[:200]!r}"
            elif any(words in what for words in WORDS_OF_LIBRARIES):
                outcome, what = "fault", f"in the words of a library: {what[:200]}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome, what = "fault", f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})"
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
    if broken:
        outcome, what = "fault", "; ".join(broken[:3])
    # Python's development mode fills what is allocated and never used, such as a length that a damaged file claims.
    if peak_memory() - memory > MOST_MEMORY and not sys.flags.dev_mode:
        outcome, what = "fault", "more than 2 GB of memory"
    return outcome, what


def run(
    target: Target,
    numbers: Iterable[int],
    folder: Path,
    *,
    note: Callable[[int, Outcome, str], None] | None = None,
) -> Report:
    """Run many mutations of a target, each in a folder of its own below ``folder``.

    Args:
        target: what reads them.
        numbers: which mutations.
        folder: an empty folder.
        note: called after each mutation with its number, outcome and what :func:`attempt` says.
    """
    report = Report()
    begin = time.process_time()
    for number in numbers:
        outcome, what = attempt(target, number, folder / "case")
        report.count(target, number, outcome, what)
        if note is not None:
            note(number, outcome, what)
    report.seconds = time.process_time() - begin
    return report


def peak_memory() -> int:
    """The process's largest resident memory so far, in bytes (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_memory(slack: int = 2 * 1024**3) -> None:
    """Let this process map `MOST_MEMORY` and ``slack``, for the stacks and arenas of threads, more than it has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_MEMORY + slack
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
