import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from everypose.core.ordered_work import MOST_PIXELS, in_order
from everypose.errors import EveryposeError


def test_in_order_keeps_order_and_the_window():
    """Later items finish first, and the source is never more than a window ahead of what was taken."""
    begun, window, lock = [], 4, threading.Lock()

    def work(item):
        time.sleep(0.002 * (5 - item % 5))
        return item

    def items():
        for item in range(30):
            with lock:
                begun.append(item)
            yield item

    with ThreadPoolExecutor(4) as pool:
        for taken, result in enumerate(in_order(pool, work, items(), window)):
            assert result == taken
            assert len(begun) <= taken + window


def test_of_large_items_fewer_wait():
    """Never more than the limit together, and an item above it alone."""
    sizes = [30, 30, 30, 30, 250, 10, 100, 60, 60, 5]
    waiting = []

    def size(item):
        return sizes[item] * MOST_PIXELS // 100

    class Pool(Executor):
        def submit(self, work, item):  # type: ignore[override]
            waiting.append(item)
            assert len(waiting) == 1 or sum(map(size, waiting)) <= MOST_PIXELS
            future = Future()
            future.set_result(work(item))
            return future

    for expected, item in enumerate(in_order(Pool(), lambda item: item, range(10), 8, size)):
        assert item == expected == waiting.pop(0)


def test_in_order_cancels_what_waits_after_an_error():
    done = []

    def work(item):
        if item == 0:
            raise EveryposeError("first")
        time.sleep(0.01)
        done.append(item)

    with ThreadPoolExecutor(1) as pool, pytest.raises(EveryposeError, match="first"):
        list(in_order(pool, work, range(100), 50))
    assert len(done) < 10
