"""Live sources: the newest frame is processed, older ones are skipped, and a lost source is reconnected."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from everypose.core.arrays import Image
from everypose.errors import EveryposeError
from everypose.video.frames import VideoFrame, VideoSource
from everypose.video.selection import Selection

RETRY_SECONDS = 1.0
"""Pause between two attempts to open a lost source again."""
GIVE_UP_SECONDS = 30.0
"""A lost source without a frame for this long is given up."""
JOIN_SECONDS = 6.0
"""How long closing waits for the reading thread, which may wait for the network."""
SMALLEST_STEP = 0.001
"""Seconds by which times rise at least where one connection follows another."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame as it comes from a camera or connection.

    Attributes:
        stamp: its time in seconds; each connection may count from anywhere.
        to_image: converts it to (H, W, 3) uint8 RGB; called only for frames that are processed.

    >>> import numpy as np
    >>> LiveFrame(stamp=12.5, to_image=lambda: np.zeros((48, 64, 3), np.uint8)).to_image().shape
    (48, 64, 3)
    """

    stamp: float
    to_image: Callable[[], Image]


class Connection(ABC):
    """An open camera or stream.

    Attributes:
        frame_rate: frames a second; None if unknown.
        corrupt: damaged packets and frames so far.

    >>> import numpy as np
    >>> class Pictures(Connection):
    ...     def frames(self):
    ...         yield LiveFrame(0.0, lambda: np.zeros((48, 64, 3), np.uint8))
    ...     def close(self):
    ...         pass
    >>> [frame.stamp for frame in Pictures().frames()]
    [0.0]
    """

    frame_rate: Fraction | None = None
    corrupt: int = 0

    @abstractmethod
    def frames(self) -> Iterator[LiveFrame]:
        """Yield frames as they come, until the connection ends.

        Raises:
            EveryposeError: if the connection breaks.
        """

    @abstractmethod
    def close(self) -> None:
        """Release it."""


@dataclass(frozen=True)
class _Newest:
    """The newest frame, not yet taken for processing."""

    index: int
    time: float
    frame: LiveFrame


class LiveSource(VideoSource):
    """A camera or network stream, read by a thread that keeps only the newest frame.

    Times are the source's own and start at 0; when a lost source is open again, they go on at the time that has passed.

    >>> import numpy as np
    >>> class Pictures(Connection):
    ...     def frames(self):
    ...         yield LiveFrame(0.0, lambda: np.zeros((48, 64, 3), np.uint8))
    ...     def close(self):
    ...         pass
    >>> with LiveSource("pictures", Pictures) as source:
    ...     frame = next(iter(source))
    >>> frame.index, frame.image.shape
    (0, (48, 64, 3))
    """

    is_live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        *,
        selection: Selection | None = None,
        give_up: float = GIVE_UP_SECONDS,
        retry: float = RETRY_SECONDS,
    ) -> None:
        """Open the source; reading starts with the iteration.

        Args:
            name: what messages and tables call it.
            connect: opens the source; raises an `EveryposeError` if that fails.
            selection: the frames to yield; by default all that are not skipped.
            give_up: seconds without a frame after which a lost source is given up.
            retry: seconds between two attempts to open it again.

        Raises:
            EveryposeError: if the source cannot be opened.
        """
        self.name = name
        self._connect = connect
        self._selection = selection or Selection()
        self._give_up, self._retry = give_up, retry
        self._connection = connect()
        self.frame_rate = self._connection.frame_rate
        self._changed = threading.Condition()
        self._newest: _Newest | None = None
        self._lost: Exception | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._count, self._time = 0, 0.0
        self._started = self._last_frame = time.monotonic()

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the newest frame each time, until the source is closed or the selected end is reached.

        Raises:
            EveryposeError: if the source is lost and cannot be opened again.
        """
        if self._thread is None:
            self._last_frame = time.monotonic()  # the source may have been opened long before
            self._thread = threading.Thread(target=self._read, name=f"read {self.name}", daemon=True)
            self._thread.start()
        picker = self._selection.picker()
        while (newest := self._take()) is not None:
            if self._selection.is_past(newest.time):
                return
            if picker.takes(newest.time):
                yield VideoFrame(newest.index, newest.time, newest.frame.to_image())

    def stop(self) -> None:
        """End the iteration, also while it waits for a frame."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop reading and release the source."""
        self.stop()
        if self._thread is None:
            self._connection.close()
        else:
            self._thread.join(JOIN_SECONDS)

    def _take(self) -> _Newest | None:
        """Wait for a frame and take it; None when the source is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._lost or self._closed.is_set())
            newest, self._newest = self._newest, None
        if self._closed.is_set():
            return None
        if newest is None and self._lost is not None:
            raise self._lost
        return newest

    def _read(self) -> None:
        """Read until closed or lost for good; runs in the thread."""
        try:
            while not self._closed.is_set():
                before = self._count
                problem = self._read_connection()
                if self._count == before and self._is_given_up():
                    raise EveryposeError(f"{self.name} was lost and gave no frame in {self._give_up:g} s: {problem}")
                self._open_again(problem)
        except Exception as error:  # raised again by the iteration, which waits for this thread
            self._lost = error
        finally:
            self._connection.close()  # one that was opened while the source was being closed
            with self._changed:
                self._changed.notify_all()

    def _is_given_up(self) -> bool:
        """Whether no frame has come for too long."""
        return time.monotonic() - self._last_frame > self._give_up

    def _read_connection(self) -> str:
        """Read one connection until it ends; return why it did."""
        shift: float | None = None
        try:
            for frame in self._connection.frames():
                self._last_frame = time.monotonic()
                if shift is None:
                    shift = self._elapsed() - frame.stamp
                self._offer(shift + frame.stamp, frame)
                if self._closed.is_set():
                    break
        except EveryposeError as error:
            return str(error)
        finally:
            self.corrupt += self._connection.corrupt
            self._connection.close()
        return "the connection ended"

    def _elapsed(self) -> float:
        """Return the time at which a connection's first frame is placed."""
        if self._count == 0:
            self._started = self._last_frame
            return 0.0
        return max(self._last_frame - self._started, self._time + SMALLEST_STEP)

    def _offer(self, moment: float, frame: LiveFrame) -> None:
        """Put a frame in the place of the one before, which counts as skipped if it was not taken."""
        with self._changed:
            self.skipped += self._newest is not None
            self._newest = _Newest(self._count, moment, frame)
            self._count, self._time = self._count + 1, moment
            self._changed.notify_all()

    def _open_again(self, problem: str) -> None:
        """Try to open the source until it is open, closed by the user, or given up.

        Raises:
            EveryposeError: if it is given up.
        """
        while not self._closed.wait(self._retry):
            try:
                self._connection = self._connect()
            except EveryposeError as error:
                problem = str(error)
                if self._is_given_up():
                    raise EveryposeError(
                        f"{self.name} was lost and could not be opened again in {self._give_up:g} s: {problem}"
                    ) from error
            else:
                self.reconnections += 1
                return
