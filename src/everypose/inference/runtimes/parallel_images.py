"""Images of a small model: runs at the same time have a CPU thread each."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.inference.runtimes.protocols import RawPoses, Session

RUNS_BEFORE_SECOND_SESSION = 32
"""Overlapping runs before the second session is opened: opening it takes about the time that it saves in these."""


class ParallelImageRuntime(OnnxRuntime):
    """A single-stage model that runs on all threads, or on one each time another image is in work.

    A small network has hundreds of layers, after each of which the threads of one run wait for each other. Where
    several images go through at the same time, runs of one thread each take less CPU time for the same people. A second
    session for them is opened after a few such runs.

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> from everypose.models.locate import bundled
        >>> path = bundled("boir-lite.onnx")
        >>> runtime = ParallelImageRuntime(open_session(path, 2), lambda: open_session(path, 1), path)
        >>> len(runtime.run(np.zeros((1, 96, 128, 3), np.uint8), 0.5)[0])
        0
    """

    def __init__(
        self, session: Session, open_of_one_thread: Callable[[], Session], path: str | Path, *, flip: bool = False
    ) -> None:
        """Take the open file.

        Args:
            session: with all threads, for an image alone.
            open_of_one_thread: opens the file with one thread, for images at the same time.
            path: the file. If it has changed by then, it is not opened again.
            flip: whether to use test-time flip augmentation.

        Raises:
            EveryposeError: if the file is not a single-stage model of everypose.
        """
        super().__init__(session, path, flip=flip)
        self._open_of_one_thread = open_of_one_thread
        self._flip = flip
        self._file = _file_version(self.path)
        self._counting = threading.Lock()
        self._running = self._overlapping = 0
        self._of_one_thread: OnnxRuntime | None = None

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.protocols.Runtime`.

        Raises:
            EveryposeError: if the images have the wrong type or shape, or the model fails (out of memory).
        """
        of_one_thread = self._begin()
        try:
            if of_one_thread is not None:
                return of_one_thread.run(images, min_score)
            return super().run(images, min_score)
        finally:
            with self._counting:
                self._running -= 1

    def _begin(self) -> OnnxRuntime | None:
        """Count a run; return the session of one thread if it is to use that."""
        with self._counting:
            self._running += 1
            if self._running == 1:
                return None
            self._overlapping += 1
            if (
                self._overlapping == RUNS_BEFORE_SECOND_SESSION
                and self._file is not None
                and self._file == _file_version(self.path)
            ):
                # All results are the same without it.
                with suppress(EveryposeError):
                    self._of_one_thread = OnnxRuntime(self._open_of_one_thread(), self.path, flip=self._flip)
            return self._of_one_thread


def _file_version(path: Path) -> tuple[int, int, int] | None:
    """What changes if a file is written or replaced; None if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
