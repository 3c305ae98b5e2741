"""Console output of a training run: a progress bar on a terminal, an occasional line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 30.0


class Display:
    """Progress of a run on standard error; ``quiet`` shows nothing.

    >>> with Display(quiet=True) as display:
    ...     display.start_training(first=0, steps=100)
    ...     display.step(1, 100, "loss 0.5")
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._training: TaskID | None = None
        self._started = self._line = time.monotonic()
        self._first = 0

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def start_training(self, first: int, steps: int) -> None:
        """Show the bar of the steps from ``first`` to ``steps``."""
        self._training = self._progress.add_task("training", total=steps, completed=first, note="")
        self._started, self._first = time.monotonic(), first

    def step(self, step: int, steps: int, note: str) -> None:
        """Show that ``step`` of ``steps`` steps are done, with a ``note`` on losses."""
        if self._training is not None:
            self._progress.update(self._training, completed=step, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._line > LINE_SECONDS:
            self._line = now
            left = (now - self._started) / max(step - self._first, 1) * (steps - step)
            self.say(f"step {step}/{steps}, {note}, {left / 60:.0f} min left")

    @contextmanager
    def phase(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """A phase of its own bar; yields what to call with the number of things done since the last call."""
        task = self._progress.add_task(description, total=total, note="")
        begun = time.monotonic()
        try:
            yield lambda done: self._progress.advance(task, done)
        finally:
            self._progress.remove_task(task)
            if not self._console.is_terminal and time.monotonic() - begun > LINE_SECONDS:
                self.say(f"{description}: {total} in {time.monotonic() - begun:.0f} s")
