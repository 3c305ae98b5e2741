"""A service in a process of its own, as the command line starts it."""

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np

from inference.stand_in import crowd


class Running:
    """A running service: its address, its process and its log lines."""

    def __init__(self, process, url, log):
        self.process = process
        self.url = url
        self.log = log
        self.port = int(url.rpartition(":")[2])

    def client(self, **options):
        return httpx.Client(base_url=self.url, timeout=20, trust_env=False, **options)

    def workers(self):
        """Process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def lines_with(self, text):
        """The log lines with ``text``, once there are any."""
        deadline = time.monotonic() + 10
        while not (lines := [line for line in self.log if text in line]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return lines

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def running(*arguments, env=None):
    """Start ``everypose serve`` on a free port; end it with the block."""
    command = [sys.executable, "-m", "everypose", "serve", "--port", "0", *map(str, arguments)]
    log = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env) as process:
        for line in process.stderr:
            log.append(line)
            if '"event": "listening"' in line:
                url = json.loads(line)["url"]
                break
        else:
            raise AssertionError(f"the service did not start: {''.join(log)}")
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            yield Running(process, url, log)
        finally:
            process.kill()
            process.wait()
            reader.join(5)


def photo(blocks=((0, 0, 200),), suffix=".png", **size):
    """The bytes of a picture in which the stand-in model finds one person for each block."""
    done, content = cv2.imencode(suffix, np.ascontiguousarray(crowd(blocks, **size)[..., ::-1]))
    assert done
    return content.tobytes()
