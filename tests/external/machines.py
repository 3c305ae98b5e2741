"""Machines for tests: network namespaces with an address each at one bridge, each with folders of its own for Ray."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PORT = 6379
STARTED = "Ray runtime started"


@dataclass
class Machine:
    """A network namespace in which Ray runs.

    Attributes:
        name: of the namespace.
        address: its own.
        environment: variables of its processes.
        ray: Ray's process; None before `start_ray`.
    """

    name: str
    address: str
    environment: dict[str, str]
    ray: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start_ray(self, log: Path, *, head: str | None = None) -> None:
        """Start Ray with one CPU, as the head of a cluster or connected to the head with an address.

        Ray gives up after 30 seconds, which is too short on a machine with much other work: up to five attempts.
        """
        options = ["--head", f"--port={PORT}", "--include-dashboard=false"] if head is None else []
        options += [] if head is None else [f"--address={head}:{PORT}"]
        options += [f"--node-ip-address={self.address}", "--num-cpus=1", "--object-store-memory=80000000"]
        # Sockets and shared memory of its own: the machines share nothing but the disk.
        own = "mkdir -p /tmp/ray && mount -t tmpfs ray /tmp/ray && mount -t tmpfs shm /dev/shm && exec"
        ray = f"{sys.executable} -m ray.scripts.scripts start --block --disable-usage-stats {' '.join(options)}"
        for attempt in range(5):
            path = log.with_suffix(f".{attempt}.log")
            with path.open("wb") as output:
                self.ray = subprocess.Popen(
                    ["ip", "netns", "exec", self.name, "sh", "-c", f"{own} {ray}"],
                    env={**os.environ, **self.environment},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            process = self.ray
            wait_for(lambda: process.poll() is not None or STARTED in path.read_text())  # noqa: B023
            if process.poll() is None:
                return
            self.stop()
        raise AssertionError(path.read_text())

    def command(self, words: Sequence[object], folder: Path) -> subprocess.Popen[str]:
        """Start a command next to Ray, with a working directory."""
        assert self.ray is not None
        entered = ["nsenter", "--target", str(self.ray.pid), "--net", "--mount", f"--wd={folder}"]
        return subprocess.Popen(
            [*entered, *map(str, words)],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def runs(self, name: str) -> bool:
        """Whether a process with a word in its title runs on the machine."""
        for pid in self._processes():
            with suppress(OSError):
                if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
        return False

    def fail(self) -> None:
        """Cut the network, and kill all processes of the machine."""
        subprocess.run(["ip", "-n", self.name, "link", "set", "net0", "down"], check=True)
        self.stop()

    def stop(self) -> None:
        """Kill all processes of the machine."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.ray is not None:
            self.ray.wait()

    def _processes(self) -> list[int]:
        found = subprocess.run(["ip", "netns", "pids", self.name], check=False, capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def separate_machines(number: int, environment: dict[str, str]) -> Iterator[list[Machine] | None]:
    """Make machines at one bridge, and remove them afterwards; None where the system does not allow it.

    Args:
        number: how many.
        environment: variables of their processes.
    """
    bridge = f"everypose-{os.getpid()}-bridge"
    names = [f"everypose-{os.getpid()}-{index}" for index in range(number)]
    machines = [Machine(name, f"10.78.0.{index}", environment) for index, name in enumerate(names, 1)]
    allowed = os.geteuid() == 0 and all(shutil.which(tool) for tool in ("ip", "nsenter", "mount"))
    try:
        yield machines if allowed and _connect(bridge, machines) else None
    finally:
        for machine in machines if allowed else []:
            machine.stop()
        for name in [bridge, *names] if allowed else []:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _connect(bridge: str, machines: Sequence[Machine]) -> bool:
    """Make the namespaces and their links; False if the system does not allow it."""
    commands = [
        ["netns", "add", bridge],
        ["-n", bridge, "link", "add", "bridge0", "type", "bridge"],
        ["-n", bridge, "link", "set", "bridge0", "up"],
    ]
    for index, machine in enumerate(machines):
        own, peer = ["-n", machine.name], ["-n", bridge]
        ends = ["net0", "netns", machine.name, "type", "veth", "peer", "name", f"port{index}", "netns", bridge]
        commands += [
            ["netns", "add", machine.name],
            ["link", "add", *ends],
            [*peer, "link", "set", f"port{index}", "master", "bridge0", "up"],
            [*own, "address", "add", f"{machine.address}/24", "dev", "net0"],
            [*own, "link", "set", "net0", "up"],
            [*own, "link", "set", "lo", "up"],
        ]
    return all(subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0 for words in commands)


def wait_for(condition: Callable[[], bool], seconds: float = 900.0) -> None:
    """Wait until a function returns True."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
