"""Commands in processes of their own, whose packages are imported once for all: torch and Lightning take seconds.

A server imports the packages and forks for each command, which then runs as the installed script would: with its own
arguments, standard streams, signals and exit handlers.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER = """
import atexit, gc, importlib, json, os, sys, threading
from contextlib import suppress
from everypose.cli.main import main

for name in sys.argv[1:]:
    with suppress(ImportError):
        importlib.import_module(name)


def run():
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    else:
        code = 0
    # The interpreter's end without freeing every object, which takes longer than the commands.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "poll" in request:
        ended, status = os.waitpid(request["poll"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if ended else "running", flush=True)
        continue
    child = os.fork()
    if child == 0:
        for descriptor, (path, flags) in enumerate(request["streams"]):
            opened = os.open(path, flags)
            os.dup2(opened, descriptor)
            os.close(opened)
        sys.argv = ["everypose", *request["arguments"]]
        run()
    print(child, flush=True)
"""


@dataclass
class Command:
    """A command that runs, or ran.

    Attributes:
        pid: of its process.
        folder: the files of its standard output and standard error.
        server: started it.
        code: exit code, negative after a signal; None as long as the process is not known to have ended.
    """

    pid: int
    folder: Path
    server: "Server"
    code: int | None = None

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        if self.code is None and (answer := self.server.ask({"poll": self.pid})) != "running":
            self.code = int(answer)
        return self.code is None

    def finish(self, seconds: float = 60) -> int:
        """Wait for the end; the exit code, negative after a signal."""
        end = time.monotonic() + seconds
        while self.is_running():
            assert time.monotonic() < end, f"the process did not end: {self.errors}"
            time.sleep(0.01)
        assert self.code is not None
        return self.code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; one to a process that has ended reaches nothing."""
        if self.code is None:
            os.kill(self.pid, number)

    @property
    def errors(self) -> str:
        """What it printed on standard error."""
        return (self.folder / "2").read_text()


class Server:
    """Starts commands.

    Args:
        folder: for the output of the commands.
        packages: what is imported before the first command.
    """

    def __init__(self, folder: Path, *packages: str) -> None:
        self._folder = folder
        self._count = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SERVER, *packages]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process: subprocess.Popen[str] = subprocess.Popen(command, env=environment, **pipes)
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, request: dict[str, object]) -> str:
        """Send a request; the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        return self._read()

    def start(self, *arguments: object) -> Command:
        """Start a command with these arguments."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        writing = os.O_WRONLY | os.O_CREAT
        streams = [(os.devnull, os.O_RDONLY), (str(folder / "1"), writing), (str(folder / "2"), writing)]
        pid = self.ask({"arguments": list(map(str, arguments)), "streams": streams})
        return Command(int(pid), folder, self)

    def close(self) -> None:
        """End the server."""
        self._process.communicate(timeout=60)


@contextmanager
def prepared_process(folder: Path, *packages: str) -> Iterator[Server]:
    """A server while the block runs."""
    server = Server(folder, *packages)
    try:
        yield server
    finally:
        server.close()
