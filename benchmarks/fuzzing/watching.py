"""What a target writes and executes, by Python's audit events, and the inputs that are put in front of it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_EXECUTING = ("subprocess.Popen", "os.exec", "os.system", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")
_CONNECTING = ("socket.connect", "socket.getaddrinfo", "socket.bind")
_REMOVING = ("os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")
_MOVING = ("os.rename", "os.link", "os.symlink")
_BESIDE_DESCRIPTOR = ("os.remove", "os.rmdir")
"""Events whose second argument is the descriptor of the folder of a relative path."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OPEN_FOLDERS = ("out", "tmp")
"""Folders of a case that a target may write to: its output, and temporary files."""


class _Guard:
    """Notes what is executed, connected to, or written outside of some folders; audit hooks cannot be removed."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] | None = None
        self.case = ""
        self.found: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folders is None:
            return
        if event in _EXECUTING:
            self.found.append(f"executed: {event} {arguments[:1]}")
        elif event in _CONNECTING:
            self.found.append(f"connected: {event} {arguments[1:2]}")
        elif event == "open":
            name, _, flags = arguments
            writes = isinstance(flags, int) and flags & _WRITING
            if writes and isinstance(name, str | bytes) and not self._is_inside(os.fsdecode(name)):
                self.found.append(f"wrote outside: {os.fsdecode(name)}")
        elif event in _REMOVING and isinstance(arguments[0], str | bytes):
            name = os.fsdecode(arguments[0])
            folder = next((one for one in arguments[1:] if isinstance(one, int) and one > 2), None)
            if folder is not None and event in _BESIDE_DESCRIPTOR:
                name = f"/proc/self/fd/{folder}/{name}"
            if not self._is_inside(name):
                self.found.append(f"{event} outside: {name}")
        elif event in _MOVING:
            source, target = (os.fsdecode(one) for one in arguments[:2] if isinstance(one, str | bytes))
            if not self._is_inside(target) or (event == "os.rename" and not self._is_inside(source)):
                self.found.append(f"{event} outside: {source} to {target}")
            real = os.path.realpath(os.path.join(os.path.dirname(target), source))  # noqa: PTH118, PTH120
            if not real.startswith(self.case):
                self.found.append(f"{event} of a file from outside: {source}")

    def _is_inside(self, name: str) -> bool:
        path = os.path.realpath(name)
        # A temporary file without a name is opened as its folder.
        return f"{path}{os.sep}".startswith((*(self.folders or ()), "/dev/null/")) or "__pycache__" in path


_GUARD: list[_Guard] = []


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Yield a list that receives what the block executes, connects to, or writes outside of ``OPEN_FOLDERS``."""
    if not _GUARD:
        _GUARD.append(_Guard())
    guard = _GUARD[0]
    place = os.path.realpath(folder)
    guard.found = []
    guard.case = f"{place}{os.sep}"
    guard.folders = tuple(f"{place}{os.sep}{name}{os.sep}" for name in OPEN_FOLDERS)
    try:
        yield guard.found
    finally:
        guard.folders = None


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """What the harness itself does in the block is not noted."""
    guard = _GUARD[0] if _GUARD else None
    folders = guard.folders if guard else None
    if guard:
        guard.folders = None
    try:
        yield
    finally:
        if guard:
            guard.folders = folders


def put(path: Path, content: bytes) -> Path:
    """Write an input of a target, making its folder; returns the path."""
    with unwatched():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path
