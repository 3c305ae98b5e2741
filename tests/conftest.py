"""What all tests share: one thread, so that parallel test processes do not fight over the cores; the command line."""

import io
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from everypose.cli.main import main

os.environ.setdefault("OMP_NUM_THREADS", "1")
with suppress(ImportError):  # the environments of single make targets may lack it
    from hypothesis import settings

    settings.register_profile("everypose", deadline=None)  # how long an example takes depends on what else runs
    settings.load_profile("everypose")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test connects to the hub; those of downloads have a stand-in
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 1024**3:
    # Every file that everypose writes waits for the disk (fsync), some ten thousand times in all tests.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist distribute files in their order, not by their number of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move files with slow tests to the front, so that the processes of pytest-xdist end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
