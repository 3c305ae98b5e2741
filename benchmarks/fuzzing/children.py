"""Mutations in forked processes: one that ends its process, or hangs in native code, is found and named."""

import faulthandler
import mmap
import os
import signal
import struct
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from benchmarks.fuzzing.running import MOST_SECONDS, WAITING_FACTOR, Outcome, Report, limit_memory, run
from benchmarks.fuzzing.target import Target

_STATE = struct.Struct("qqqd")
"""Next mutation, mutations read, mutations refused, and when the present one began (`time.monotonic`)."""
_POLL_SECONDS = 0.02
_HUNG_SECONDS = 2 * WAITING_FACTOR * MOST_SECONDS
"""The alarm of a mutation interrupts Python; native code that does not return is ended now."""
FAST_FOLDER = Path("/dev/shm")
"""Files here are in memory."""


def in_child(target: Target, first: int, end: int, *, seconds: float) -> tuple[Report, int]:
    """Run mutations ``first`` to ``end - 1`` in a forked process, for at most about ``seconds``.

    Returns:
        The report, and the number of the next mutation.
    """
    shared = mmap.mmap(-1, _STATE.size)
    shared[:] = _STATE.pack(first, 0, 0, time.monotonic())
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER if FAST_FOLDER.is_dir() else None) as folder:
        faults = Path(folder) / "faults"
        faults.touch()
        (Path(folder) / "stacks").touch()
        child = os.fork()
        if child == 0:
            _work(target, range(first, end), Path(folder), shared, seconds)
        status, computed = _wait(child, shared)
        number, accepted, refused, _ = _STATE.unpack(shared[:])
        report = Report(accepted, refused, faults.read_text(encoding="utf-8").splitlines(), computed)
        if status:
            stacks = (Path(folder) / "stacks").read_text(encoding="utf-8", errors="backslashreplace")
            where = stacks.partition("Extension modules")[0].split()
            report.faults.append(" ".join([f"{target.name} no. {number}: ended its process, status {status}", *where]))
            number += 1
    return report, number


def _work(target: Target, numbers: Iterable[int], folder: Path, shared: mmap.mmap, seconds: float) -> None:
    """The forked process; it does not return."""
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        limit_memory()
        warnings.simplefilter("error")  # a warning is a line on standard error that the user cannot act on
        (folder / "cwd").mkdir()
        os.chdir(folder / "cwd")
        end = time.monotonic() + seconds
        counts = {"accepted": 0, "refused": 0, "fault": 0}
        with (
            (folder / "faults").open("a", encoding="utf-8", errors="backslashreplace") as faults,
            (folder / "stacks").open("w", encoding="utf-8") as stacks,
        ):
            faulthandler.disable()  # enabling it again would keep handlers that another package has replaced
            faulthandler.enable(stacks)

            def note(number: int, outcome: Outcome, what: str) -> None:
                if any((folder / "cwd").iterdir()):
                    outcome, what = "fault", "wrote into the current folder"
                counts[outcome] += 1
                if outcome == "fault":
                    faults.write(f"{target.name} no. {number}: {what}\n".replace("\r", " "))
                    faults.flush()
                shared[:] = _STATE.pack(number + 1, counts["accepted"], counts["refused"], time.monotonic())

            run(target, _until(numbers, end), folder, note=note)
        code = 0
    finally:
        os._exit(code)


def _until(numbers: Iterable[int], end: float) -> Iterable[int]:
    for number in numbers:
        if time.monotonic() > end:
            return
        yield number


def _wait(child: int, shared: mmap.mmap) -> tuple[int, float]:
    """The status of a child, and the CPU seconds that it took.

    A child whose mutation hangs is ended, at first by a signal on which it writes where its threads are.
    """
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return status, used.ru_utime + used.ru_stime
        waited = time.monotonic() - _STATE.unpack(shared[:])[3]
        if waited > _HUNG_SECONDS:
            os.kill(child, signal.SIGABRT if waited < _HUNG_SECONDS + MOST_SECONDS else signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
