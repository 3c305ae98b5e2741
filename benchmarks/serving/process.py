"""Services in processes of their own, and the memory that they use."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen


class Service:
    """A running service.

    Attributes:
        port: where it listens.
        path: the path of its requests.
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int, path: str = "/v1/poses") -> None:
        self._process = process
        self.port = port
        self.path = path

    def memory(self) -> float:
        """Resident memory of the process and its children, in MiB."""
        return sum(_resident(pid) for pid in _family(self._process.pid))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(one for child in found for one in _family(child))]


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


@contextmanager
def running(*arguments: str) -> Iterator[Service]:
    """``everypose serve`` on a free port."""
    command = [sys.executable, "-m", "everypose", "serve", "--port", "0", *arguments]
    with _ended(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if '"listening"' in line)
        port = int(json.loads(line)["url"].rpartition(":")[2])
        reader = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)  # keeps the pipe empty
        try:
            yield Service(process, port)
        finally:
            reader.kill()
            reader.wait()


@contextmanager
def running_script(python: str, script: Path, port: int) -> Iterator[Service]:
    """Another server, by a script that takes the port; ready when /health answers."""
    with _ended(
        subprocess.Popen(
            [python, str(script), str(port)], text=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    ) as process:
        for _ in range(120):
            try:
                with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.5)
        else:
            raise SystemExit(f"{script} did not start")
        yield Service(process, port, "/predict")


@contextmanager
def _ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process
    finally:
        family = _family(process.pid)
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in family[1:]:
            if Path(f"/proc/{pid}").exists():
                subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
