"""What all tests share: one thread, so that parallel test processes do not fight over the cores; the command line."""

import io
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

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


def _without_child_handler(number: int, handler: Any) -> Any:
    """`signal.signal` but for SIGCHLD, which stays as it is.

    The handler of torch's loader would run on the alternate signal stack, which other libraries exchange and free: the
    end of a child process would then end the tests by a segmentation fault.
    """
    return signal.getsignal(number) if number == signal.SIGCHLD else _set_handler(number, handler)


_set_handler = signal.signal
signal.signal = _without_child_handler  # type: ignore[assignment]
