"""Progress bars on standard error, only on a terminal and only for work that takes longer than two seconds."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def track(
    iterable: Iterable[Item], description: str, total: int | None = None, quiet: bool = False, delay: float = 2.0
) -> Iterator[Item]:
    """Yield the items of ``iterable``; show a progress bar once it has gone on for ``delay`` seconds.

    Args:
        iterable: iterated once.
        description: label of the bar.
        total: number of items; by default ``len(iterable)`` where there is one.
        quiet: show nothing at all.
        delay: seconds before the bar appears. It never appears if standard error is not a terminal.

    Example:
        >>> sum(track([1, 2, 3], "adding"))
        6
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    begin = time.monotonic()
    items = iter(iterable)
    done = 0
    for item in items:
        yield item
        done += 1
        if not quiet and time.monotonic() - begin > delay:
            break
    else:
        return
    yield from _with_bar(items, description, total, done)


def _with_bar(items: Iterator[Item], description: str, total: int | None, done: int) -> Iterator[Item]:
    """Yield the remaining ``items`` under a bar that starts at ``done``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


@contextmanager
def elapsed_time(description: str, quiet: bool = False) -> Iterator[None]:
    """Show the time that a block takes, as a line on a terminal: for libraries that do not report their progress.

    Args:
        description: label of the line.
        quiet: show nothing at all.

    Example:
        >>> with elapsed_time("export"):
        ...     print("done")
        done
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(description, total=None)
        yield


@contextmanager
def byte_progress(description: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many bytes of how many were transferred, as a bar on a terminal.

    Args:
        description: label of the bar.
        quiet: show nothing at all.

    Example:
        >>> with byte_progress("downloading", quiet=True) as show:
        ...     show(1_000, 2_000)
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
