"""The process around a command: closed streams, other locales, the number of threads, signals."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from everypose.core.process_setup import Terminated, available_threads, one_opencv_thread, termination_as_exception

COMMAND = [sys.executable, "-m", "everypose"]


def run(*arguments, closed=(), environment=None):
    """A command with some of its standard descriptors closed."""

    def close():
        for descriptor in closed:
            os.close(descriptor)

    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, preexec_fn=close,
        env={**os.environ, **(environment or {})}, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="descriptors are POSIX's")
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_do_not_end_up_in_files(tmp_path, closed):
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((80, 60, 3), np.uint8))
    done = run("predict", tmp_path / "a.png", "-o", tmp_path / "out", "-m", "boir-lite", closed=closed)
    assert done.returncode == 0
    assert (tmp_path / "out/results.json").read_text() == "[]\n"
    assert (tmp_path / "out/pictures/a.jpg").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_names_of_any_bytes_in_a_locale_of_ascii(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9 \xf0\x9f\x98\x80.png"
    with open(name, "wb") as file:  # noqa: PTH123 - a name of bytes
        file.write(b"no image")
    done = run("predict", os.fsdecode(name), "-o", tmp_path / "out", environment={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"caf\\xe9" in done.stderr


@pytest.mark.parametrize(("wanted", "threads"), [("1", 1), ("3", 3)])
def test_the_number_of_threads_follows_the_environment(monkeypatch, wanted, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert available_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the affinity is Linux's")
@pytest.mark.parametrize("wanted", [None, "", "0", "many"])
def test_without_a_number_the_cpus_of_the_process_count(monkeypatch, wanted):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert 1 <= available_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="SIGHUP is POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_exception_with_the_exit_code_of_shells(number):
    before = signal.signal(number, signal.SIG_DFL)  # a run under nohup ignores SIGHUP, and would keep doing so
    try:
        with pytest.raises(Terminated) as raised, termination_as_exception():
            os.kill(os.getpid(), number)
        assert raised.value.exit_code == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_opencv_gets_its_threads_back_after_an_error():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with pytest.raises(ValueError, match="one thread"), one_opencv_thread():
            raise ValueError("one thread" if cv2.getNumThreads() == 1 else "several")
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
