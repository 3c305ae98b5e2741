"""The progress of a video on standard error: frames, frames a second, remaining time."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY = 2.0
"""Seconds after which a bar appears, so that short work shows none."""


class VideoProgress:
    """Shows a bar for one video, once it has lasted two seconds, if standard error is a terminal.

    >>> with VideoProgress("clip.mp4", seconds=10.0, quiet=True) as progress:
    ...     progress.advance(0.1)
    >>> progress.frames
    1

    Attributes:
        frames: how many frames were processed so far.
    """

    def __init__(self, label: str, *, seconds: float | None, quiet: bool) -> None:
        """Start to count.

        Args:
            label: what the bar is called.
            seconds: of the video that are processed; None if unknown.
            quiet: show nothing.
        """
        self.frames = 0
        self._label = label
        self._seconds = seconds
        self._quiet = quiet
        self._begin = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, moment: float) -> None:
        """Count one more frame.

        Args:
            moment: its time in the video, in seconds from where processing started.
        """
        self.frames += 1
        elapsed = time.monotonic() - self._begin
        if not self._quiet and self._bar is None and elapsed > DELAY:
            self._show()
        if self._bar is not None and self._task is not None:
            speed = f"{self.frames / elapsed:.1f} frames/s"
            done = moment if self._seconds is None else min(moment, self._seconds)
            self._bar.update(self._task, completed=done, frames=self.frames, speed=speed)

    def _show(self) -> None:
        """Open the bar; where standard error is not a terminal, never."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._quiet = not console.is_terminal
        if self._quiet:
            return
        left = TimeElapsedColumn() if self._seconds is None else TimeRemainingColumn()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[frames]} frames, {task.fields[speed]}"),
            left,
            console=console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._label, total=self._seconds, frames=self.frames, speed="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
