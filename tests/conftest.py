"""What all tests share: one thread, so that parallel test processes do not fight over the cores; the command line."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from everypose.cli.main import main

os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def everypose(monkeypatch, capsys):
    """Run the command line in this process, as the installed script does."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["everypose", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = leave.code or 0
        out, err = capsys.readouterr()
        return Finished(code, out, err)

    return run


@pytest.fixture(autouse=True)
def _child_signals() -> Iterator[None]:
    """Put back what happens when a child process ends.

    torch's loader of several workers leaves a handler on the alternate signal stack, which other libraries exchange
    and free: the next child process would then end the tests by a segmentation fault.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)
