"""Stages of a pipeline: iterators that run in threads of their own, a few items ahead of their consumer."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
THREAD_NAME = "everypose stage"
LONGEST_WAIT = 60.0
"""Seconds that an iterator that is closed early waits for the item that is being made."""


@dataclass(frozen=True)
class _End:
    """The end of the items, or the error that ended them."""

    error: BaseException | None = None


def in_thread(items: Iterable[Item], *, ahead: int, stop: Callable[[], None] | None = None) -> Generator[Item]:
    """Iterate in a thread of its own, so that the next items are computed while the last is used.

    Errors of ``items`` are raised here. Closing this iterator ends the thread after the item that it is making, and
    closes ``items``. At most ``ahead + 2`` items are held: those that wait, the one being made and the one in use.

    >>> list(in_thread(range(3), ahead=1))
    [0, 1, 2]

    Args:
        items: what to iterate over.
        ahead: the most finished items that wait.
        stop: called when this iterator is closed early, to end ``items`` that wait for something.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(ahead)
    stopped, ended = threading.Event(), threading.Event()

    def put(item: Item | _End) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def run() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item)
                if stopped.is_set():
                    break
        except BaseException as error:  # raised again in the consumer's thread
            put(_End(error))
        else:
            put(_End())
        finally:
            try:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
            finally:
                ended.set()

    thread = threading.Thread(target=run, name=THREAD_NAME, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item  # large items must not wait here until the next one is made
    finally:
        stopped.set()
        if stop is not None:
            stop()
        # Not joined: the garbage collector may close an abandoned iterator where Python holds the lock of joining.
        if threading.current_thread() is not thread:
            ended.wait(LONGEST_WAIT)
