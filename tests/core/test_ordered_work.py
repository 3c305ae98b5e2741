import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from everypose.core.ordered_work import MOST_PIXELS, generator_threads, in_order
from everypose.errors import EveryposeError
from everypose.video.threads import in_thread


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


def in_pool(items):
    with generator_threads(2) as pool:
        yield from in_order(pool, abs, items, window=2)


def test_a_generator_that_is_closed_early_does_not_wait_for_its_threads():
    begun, finish = threading.Event(), threading.Event()

    def work(item):
        if item:
            begun.set()
            assert finish.wait(20)
        return item

    def results():
        with generator_threads(2) as pool:
            yield from in_order(pool, work, range(3), window=2)

    made = results()
    assert next(made) == 0
    assert begun.wait(20)
    closing = time.monotonic()
    made.close()
    assert time.monotonic() - closing < 10
    finish.set()


@pytest.mark.skipif(not hasattr(threading, "_shutdown_locks_lock"), reason="Python has no such lock from 3.13 on")
@pytest.mark.parametrize("make", [in_pool, lambda items: in_thread(items, ahead=1)], ids=["pool", "thread"])
def test_an_abandoned_generator_can_be_collected_where_python_starts_a_thread(make):
    """There it holds a lock that joining a thread takes, too: both would wait for ever."""
    made = make(range(100))
    assert next(made) == 0

    def close():
        with threading._shutdown_locks_lock:  # type: ignore[attr-defined]
            made.close()

    closing = threading.Thread(target=close, daemon=True)
    with threading._shutdown_locks_lock:  # type: ignore[attr-defined]
        pass
    closing.start()
    for _ in range(100):  # not joined: that would take the lock
        if not closing.is_alive():
            break
        time.sleep(0.05)
    assert not closing.is_alive()
