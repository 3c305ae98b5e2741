"""What the numbers were measured on: the machine in words, versions, and how busy it is."""

import contextlib
import os
import platform
import re
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("everypose", "torch", "onnxruntime", "openvino", "numpy", "opencv-python-headless")


def describe() -> str:
    """Processor, cores that this process may use, memory, GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} cores of {_processor()}", platform.system()]
    if memory := _memory():
        parts.append(f"{memory:.0f} GB of memory")
    return ", ".join([*parts, _gpu()])


def versions() -> str:
    """Python and the packages that do the work, where they are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


@dataclass(frozen=True)
class Moment:
    """What was done up to a moment, in seconds: wall clock, all cores' work, this process's and its children's."""

    clock: float
    work: float
    own: float

    @classmethod
    def now(cls) -> "Moment":
        """Where the system does not say what the cores did, they did nothing."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return cls(time.monotonic(), _work_of_all_cores(), own)

    def others_since(self, before: "Moment") -> float:
        """How many cores other processes, and other machines on the same hardware, kept busy in between."""
        others = (self.work - before.work) - (self.own - before.own)
        return max(0.0, others / (self.clock - before.clock))


def resident_memory() -> float:
    """Megabytes of memory that this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _work_of_all_cores() -> float:
    """Seconds in which cores were busy or taken away (steal), by Linux's own count."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        named = None
    return named[1] if named else platform.processor() or platform.machine()


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):
        return 0.0


def _gpu() -> str:
    """The first GPU's name, where torch is there and sees one."""
    try:
        import torch
    except ImportError:
        return "no GPU"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
