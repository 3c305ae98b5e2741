"""Work in threads: results in the order of the items, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_PIXELS = 100_000_000
"""The most pixels that wait at each stage (300 MB); an image that has more goes alone."""


@contextmanager
def generator_threads(workers: int, name: str = "") -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads for the body of a generator.

    The garbage collector may close an abandoned generator at any point of any thread, even while Python starts a thread
    and holds the lock that joining a thread needs: both would wait forever. A generator that is closed early therefore
    ends its threads without joining them.

    Args:
        workers: number of threads.
        name: prefix of the threads' names.

    >>> with generator_threads(2) as pool:
    ...     pool.submit(abs, -3).result()
    3
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        yield pool
    except GeneratorExit:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def in_order(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    window: int,
    size: Callable[[Item], int] = lambda _: 0,
    *,
    most: int = MOST_PIXELS,
) -> Iterator[Result]:
    """Yield ``work(item)`` for each item, in order, computed in the threads of a pool.

    If the generator is closed early, work that has not begun is canceled.

    Args:
        pool: runs the work.
        work: what is done with each item.
        items: taken one by one, never more than ``window`` ahead of what was yielded.
        window: the most items in work or waiting to be yielded.
        size: an item's pixels.
        most: the most pixels of all items in work or waiting; an item that has more goes alone.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order(pool, abs, [-3, 1, -2], window=2))
    [3, 1, 2]
    """
    waiting: deque[tuple[Future[Result], int]] = deque()
    held = 0

    def first() -> Result:
        nonlocal held
        future, pixels = waiting.popleft()
        held -= pixels
        return future.result()

    try:
        for item in items:
            pixels = size(item)
            while waiting and held + pixels > most:
                yield first()
            waiting.append((pool.submit(work, item), pixels))
            held += pixels
            if len(waiting) >= window:
                yield first()
        while waiting:
            yield first()
    finally:
        for future, _ in waiting:
            future.cancel()
