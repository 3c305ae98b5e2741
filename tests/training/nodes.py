"""Two machines for torchrun: network namespaces with an address each where the system allows it, else the loopback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PORT = 29611


@dataclass(frozen=True)
class Nodes:
    """How to run a process on each of two machines.

    Attributes:
        prefixes: words before a command, for each machine.
        addresses: of the machines.
        environment: variables of the processes.
    """

    prefixes: tuple[list[str], list[str]] = ([], [])
    addresses: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, number: int, command: list[object], rendezvous: str) -> subprocess.Popen[str]:
        """Start torchrun with one process on a machine; the processes of both meet at the first."""
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        launcher += [
            "--rdzv-backend",
            "c10d",
            "--rdzv-id",
            rendezvous,
            "--rdzv-endpoint",
            f"{self.addresses[0]}:{PORT}",
        ]
        # torchrun otherwise derives both from the machine's name, which all namespaces share.
        launcher += ["--rdzv-conf", f"is_host={int(number == 0)}", "--local-addr", self.addresses[number]]
        words = [str(word) for word in (*self.prefixes[number], *launcher, *command)]
        return subprocess.Popen(
            words,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Make two network namespaces that are connected by a pair of interfaces; they are removed afterwards."""
    names = [f"everypose-{os.getpid()}-{number}" for number in (0, 1)]
    try:
        made = shutil.which("ip") is not None and os.geteuid() == 0 and _connect(names)
        if not made:
            yield Nodes()
            return
        yield Nodes(
            (["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]),
            ("10.77.0.1", "10.77.0.2"),
            {"GLOO_SOCKET_IFNAME": "veth0"},
        )
    finally:
        for name in names:
            if shutil.which("ip") is not None:
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _connect(names: list[str]) -> bool:
    """Make the namespaces; False if the system does not allow it."""
    one, other = names
    commands = [
        ["ip", "netns", "add", one],
        ["ip", "netns", "add", other],
        ["ip", "link", "add", "veth0", "netns", one, "type", "veth", "peer", "name", "veth0", "netns", other],
    ]
    for number, name in enumerate(names, 1):
        inside = ["ip", "-n", name]
        commands += [
            [*inside, "address", "add", f"10.77.0.{number}/24", "dev", "veth0"],
            [*inside, "link", "set", "veth0", "up"],
            [*inside, "link", "set", "lo", "up"],
        ]
    return all(subprocess.run(command, check=False, capture_output=True).returncode == 0 for command in commands)
