"""Description of the machine: hardware, versions, and its load during the measurement."""

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
    """Versions of Python and of the installed packages that compute."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


@dataclass(frozen=True)
class Moment:
    """Seconds up to a moment: wall clock, CPU time of all cores, CPU time of this process and its children."""

    clock: float
    work: float
    own: float

    @classmethod
    def now(cls) -> "Moment":
        """Take a sample; on systems without CPU statistics the cores count as idle."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return cls(time.monotonic(), _work_of_all_cores(), own)

    def others_since(self, before: "Moment") -> float:
        """Return how many cores other processes and virtual machines kept busy between two samples."""
        others = (self.work - before.work) - (self.own - before.own)
        return max(0.0, others / (self.clock - before.clock))


def resident_memory() -> float:
    """Return the resident memory of this process in MB; 0 where the system does not report it."""
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
    """Return the name of the first GPU, if torch is installed and finds one."""
    try:
        import torch
    except ImportError:
        return "no GPU"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
