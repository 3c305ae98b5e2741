"""Errors that a user can act on: one line with the problem, its place and the remedy.

The command line prints them without a traceback and leaves with their exit code; anything else is a defect
of everypose and keeps its traceback.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def in_one_line(text: str) -> str:
    r"""Return a text with line breaks and other control characters as escapes.

    File names, values of files and messages of other packages may have any of them: a line break would make a message
    two lines, an escape sequence would be obeyed by the terminal.

    Example:
        >>> in_one_line("a\x1b[31m.jpg\n")
        'a\\x1b[31m.jpg'
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text.strip())


class EveryposeError(Exception):
    """An input could not be used: a file, a checkpoint, a data set. Exit code 1.

    Its message is one line without control characters, whatever it is made of.

    Example:
        >>> EveryposeError("cannot read a.jpg: it is empty").exit_code
        1
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        """Store the message, as :func:`in_one_line` gives it."""
        super().__init__(in_one_line(message))


class UsageError(EveryposeError):
    """The call itself is wrong: an unknown name, an impossible option. Exit code 2.

    Example:
        >>> UsageError("--every must be at least 1, not 0").exit_code
        2
    """

    exit_code = 2


class MissingDependencyError(UsageError):
    """An optional part of everypose is needed and not installed.

    Example:
        >>> print(MissingDependencyError("reading videos", "video"))
        reading videos needs packages that are not installed: pip install 'everypose[video]'
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed: pip install 'everypose[{extra}]'")


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its full stop, or the error's type when it has none.

    Example:
        >>> first_line(ValueError("no such layer."))
        'no such layer'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


_PLAIN_REASONS = (
    (re.compile(r"invalid literal for int\(\) with base \d+: (.*)"), r"\1 is not a whole number"),
    (re.compile(r"could not convert string to float: (.*)"), r"\1 is not a number"),
    (re.compile(r"cannot convert float (?:infinity|NaN) to integer"), "a number is not finite"),
    (re.compile(r".*(?:values to unpack|inhomogeneous shape|cannot reshape).*"), "a list has the wrong length"),
    (re.compile(r"'[\w-]+' codec can't decode .*"), "a text is not UTF-8"),
    (re.compile(r"zip\(\) argument.*"), "lists of one entry each have different lengths"),
)
"""What Python and numpy say of wrong values, and the same in plain words."""


def plain_reason(error: BaseException) -> str:
    """Say in plain words why a value of a file cannot be used.

    Args:
        error: what reading the value raised. The words of Python about types, keys and lists are replaced; messages of
            other kinds stay.

    Example:
        >>> plain_reason(KeyError("name")), plain_reason(TypeError("'int' object is not iterable"))
        ("'name' is missing", 'a value is of the wrong type')
    """
    if isinstance(error, EveryposeError):
        return first_line(error)
    if isinstance(error, KeyError):
        return f"{first_line(error)} is missing"
    if isinstance(error, AttributeError | TypeError):
        return "a value is of the wrong type"
    if isinstance(error, IndexError):
        return "a list is too short, or a position is beyond its end"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = first_line(error)
    for pattern, plain in _PLAIN_REASONS:
        if match := pattern.fullmatch(text):
            return match.expand(plain)
    return text


@contextmanager
def as_user_error(message: str) -> Iterator[None]:
    """Turn every exception of a block that parses untrusted input into one :class:`EveryposeError`.

    Parsers of other projects raise what their code happens to raise on damaged input, so no list of types is complete.

    Args:
        message: what the line begins with; it names the file.

    Example:
        >>> with as_user_error("cannot read a.toml"):
        ...     int("x")
        Traceback (most recent call last):
        ...
        everypose.errors.EveryposeError: cannot read a.toml: 'x' is not a whole number
    """
    try:
        yield
    except EveryposeError:
        raise
    except Exception as error:
        raise EveryposeError(f"{message}: {plain_reason(error)}") from error


@contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
    """Print a user's error as one line on standard error and end the process with its exit code.

    An error of the file system that names its file counts as a user's, too: a name that is too long, a folder that may
    not be entered, wherever it is first used.

    Args:
        program: what the line begins with.

    Example:
        >>> with exit_on_user_error("tool"):
        ...     raise UsageError("--size 0: give a size above 0")
        Traceback (most recent call last):
        ...
        SystemExit: 2
    """
    try:
        yield
    except (EveryposeError, OSError) as error:
        if isinstance(error, OSError):
            if error.filename is None:
                raise
            error = EveryposeError(f"cannot use {error.filename}: {error.strerror}")
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
