"""Settings of the whole process, each in one place: native libraries' messages, threads, signals, standard streams."""

import codecs
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import NoReturn

_ESCAPE = "everypose-escape"
EXIT_INTERRUPTED = 130
"""The shell's exit code after Ctrl-C: 128 + SIGINT."""


class Terminated(BaseException):
    """The process was asked to end by a signal.

    Attributes:
        exit_code: 128 plus the signal's number, as shells report it.

    Example:
        >>> Terminated(signal.SIGTERM).exit_code
        143
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@cache
def silence_opencv() -> None:
    """Turn off OpenCV's own messages about damaged files: the raised errors name the file. Once for the process.

    Example:
        >>> silence_opencv()
    """
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Run OpenCV's functions on the thread that calls them, as where every stage of a pipeline has a thread.

    Divided among threads, the short functions that a frame needs take up to twice the CPU time. The setting is the
    whole process's; the former one returns at the end.

    Example:
        >>> import cv2
        >>> with one_opencv_thread():
        ...     cv2.getNumThreads()
        1
    """
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def hide_native_messages() -> None:
    """Send what native libraries print on descriptor 2 to the null device; Python's standard error stays.

    libjpeg and libpng print a line for every damaged image, past all settings of OpenCV; everypose names such images
    itself. For whole commands only, because child processes inherit the descriptor.
    """
    try:
        if sys.stderr.fileno() != 2:
            return
    except (AttributeError, OSError, ValueError):  # a test or a notebook replaced it
        return
    sys.stderr.flush()
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)


@contextmanager
def termination_as_exception(received: list[Terminated] | None = None) -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM and SIGHUP, so that temporary files are removed before the process ends.

    Only handlers that still are the system's default are replaced; in other threads than the main one nothing is done.

    Args:
        received: receives the exception that is raised.

    Example:
        >>> try:
        ...     with termination_as_exception():
        ...         signal.raise_signal(signal.SIGTERM)
        ... except Terminated as error:
        ...     error.exit_code
        143
    """

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the cleaning up
        error = Terminated(number)
        if received is not None:
            received.append(error)
        raise error

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    replaced = []
    for name in names:
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_DFL:
            try:
                signal.signal(number, stop)
            except ValueError:  # not in the main thread
                break
            replaced.append(number)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def exit_on_signals(program: str) -> Iterator[None]:
    """End the process on Ctrl-C, SIGTERM and SIGHUP with one line and the shell's code, 130, 143 or 129.

    Args:
        program: what the line begins with.

    Example:
        >>> with exit_on_signals("everypose"):  # Ctrl-C here ends the process with the code 130
        ...     pass
    """
    received: list[Terminated] = []
    try:
        with termination_as_exception(received):
            yield
    except Terminated as error:
        _exit_terminated(program, error)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as error:  # what the command-line library makes of Ctrl-C
        if error.code == EXIT_INTERRUPTED:
            print(f"{program}: interrupted", file=sys.stderr)
        raise
    except BaseException:
        # A compiled module that is being imported makes an ImportError of the signal's exception.
        if received:
            _exit_terminated(program, received[0])
        raise


def _exit_terminated(program: str, error: Terminated) -> NoReturn:
    print(f"{program}: ended by {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the parent process closed.

    Without it a file opened later would get the descriptor 0, 1 or 2 and receive messages of native libraries.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def write_any_text() -> None:
    """Let the standard streams write any file name and symbol, whatever the locale: as escapes where they must.

    A byte of a file name that is no UTF-8 is written as a backslash, ``x`` and two hexadecimal digits.
    """
    codecs.register_error(_ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_ESCAPE)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream cannot encode."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    # Python keeps a byte 0xNN of a name that is no UTF-8 as the character U+DCNN.
    escaped = (f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else ascii(c)[1:-1] for c in text)
    return "".join(escaped), error.end


def available_threads() -> int:
    """Number of CPU threads that this process should use.

    It is OMP_NUM_THREADS where that is set, else the CPUs of its affinity within its container's quota.

    Example:
        >>> available_threads() >= 1
        True
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return cpus if quota is None else min(cpus, quota)


def _cgroup_cpus() -> int | None:
    """The CPUs that a container may use (cgroup v2); None without a limit."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123
            limit, period = file.read().split()
        return None if limit == "max" else max(1, round(int(limit) / int(period)))
    except (OSError, ValueError):
        return None


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB; 0 on Windows, where it is not measured.

    Example:
        >>> peak_memory_mb() > 1
        True
    """
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
