"""Errors that a user can act on: one line that says what, where and what to do.

The command line prints them without a traceback and leaves with their exit code; anything else is a defect
of everypose and keeps its traceback.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class EveryposeError(Exception):
    """An input could not be used: a file, a checkpoint, a data set. Exit code 1."""

    exit_code = 1


class UsageError(EveryposeError):
    """The call itself is wrong: an unknown name, an impossible option. Exit code 2."""

    exit_code = 2


class MissingDependencyError(UsageError):
    """An optional part of everypose is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed: pip install 'everypose[{extra}]'")


@contextmanager
def told_in_one_line(program: str) -> Iterator[None]:
    """End the process with an error's exit code and one line on standard error that begins with the program's name."""
    try:
        yield
    except EveryposeError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
