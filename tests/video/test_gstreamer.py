"""RTSP from GStreamer's server on loopback, where Debian's packages for it are installed (see gstreamer_server.py)."""

import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everypose.video import open_video

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("gstreamer_server.py")


def is_there():
    try:
        return subprocess.run([PYTHON, SERVER], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """The server in a process of its own, which can be killed and started again."""

    def __init__(self, stack):
        self._stack = stack
        self._port = str(free_port())
        self.address = f"rtsp://127.0.0.1:{self._port}/live"
        self.start()

    def start(self):
        self._process = self._stack.enter_context(
            subprocess.Popen([PYTHON, SERVER, self._port], stdout=subprocess.PIPE, text=True)
        )
        assert self._process.stdout.readline() == "ready\n"

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server():
    if not is_there():
        pytest.skip("needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-ugly")
    with ExitStack() as stack:
        made = Server(stack)
        yield made
        made.kill()


def test_a_killed_server_that_comes_back(server):
    """The stream goes on where real time is, with another connection."""
    times, indices = [], []
    video: Any = open_video(server.address)
    video._retry = 0.2
    starting = threading.Timer(1.0, server.start)
    with video:
        for frame in video:
            times.append(frame.time)
            indices.append(frame.index)
            if len(times) == 40:
                server.kill()
                starting.start()
            if video.reconnections and len(times) >= 70:
                break
        assert frame.image.shape == (240, 320, 3)
        assert video.reconnections == 1
        assert video.corrupt <= 1
    starting.join()
    steps = np.diff(times)
    assert np.all(steps > 0)
    assert np.all(np.diff(indices) > 0)
    assert steps.max() > 1.0
    np.testing.assert_allclose(steps[:30] * 30, np.diff(indices)[:30], atol=0.1)
