"""What all tests share: one thread, so that parallel test processes do not fight over the cores; the command line."""

import io
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

import pytest

from everypose.cli.main import main

os.environ.setdefault("OMP_NUM_THREADS", "1")
with suppress(ImportError):  # the environments of single make targets may lack it
    from hypothesis import settings

    settings.register_profile("everypose", deadline=None)  # how long an example takes depends on what else runs
    settings.load_profile("everypose")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test connects to the hub; those of downloads have a stand-in


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
