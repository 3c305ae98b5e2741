"""Run each candidate in its own process, so that its memory allocations do not influence the others."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Given = TypeVar("Given")
Found = TypeVar("Found")


@contextmanager
def apart(make: Callable[[], Callable[[Given], Found]]) -> Iterator[Callable[[Given], Found]]:
    """Start a process that makes a candidate; yields what runs it there.

    Args:
        make: called in the new process; picklable, as are the candidate's arguments and results.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(make, there), daemon=True)
    process.start()
    there.close()

    def run(given: Given) -> Found:
        here.send((given,))
        found: Found = here.recv()
        return found

    try:
        yield run
    finally:
        here.close()
        process.join()


def _serve(make: Callable[[], Callable[[Any], Any]], connection: Connection) -> None:
    work = make()
    while True:
        try:
            (given,) = connection.recv()
        except EOFError:
            return
        connection.send(work(given))
