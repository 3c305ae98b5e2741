"""Which frames of a video are processed: every Nth, at most so many a second, between two times."""

import math
from dataclasses import dataclass

from everypose.errors import UsageError

START_TOLERANCE = 1e-6
"""Seconds by which a frame may precede the start: time stamps are rounded."""
TICK_TOLERANCE = 0.1
"""Share of the interval by which a frame may precede its tick: containers round times to milliseconds."""


@dataclass(frozen=True)
class Selection:
    """The frames of a video that are processed. Times are in seconds from the start of the video.

    >>> picker = Selection(every=2, start=1.0, end=2.0).picker()
    >>> [time for time in (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0) if picker.takes(time)]
    [1.0, 1.5]

    Attributes:
        every: process one of this many frames.
        rate: process at most this many frames a second of the video; None for all.
        start: skip frames before this time.
        end: skip frames from this time on; None for the end of the video.

    Raises:
        UsageError: if a value is out of range, or both ``every`` and ``rate`` are given.
    """

    every: int = 1
    rate: float | None = None
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that select nothing."""
        if self.every < 1:
            raise UsageError(f"--every must be at least 1, not {self.every}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise UsageError(f"--fps must be a positive number, not {self.rate}")
        if self.rate is not None and self.every > 1:
            raise UsageError("--every and --fps both thin out the frames: give one of them")
        if not 0 <= self.start < math.inf:
            raise UsageError(f"--start must be a time in seconds from 0 on, not {self.start}")
        if self.end is not None and not self.start < self.end:
            raise UsageError(f"--end {self.end} must be later than --start {self.start}")

    def picker(self) -> "Picker":
        """Return a new decision maker for one pass over the frames."""
        return Picker(self)

    def is_past(self, time: float) -> bool:
        """Whether this and all later frames are skipped."""
        return self.end is not None and time >= self.end


class Picker:
    """Decides frame by frame, in the order of their times.

    Example:
        >>> picker = Selection(every=2).picker()
        >>> [picker.takes(time) for time in (0.0, 0.1, 0.2)]
        [True, False, True]
    """

    def __init__(self, selection: Selection) -> None:
        """Start before the first frame."""
        self._selection = selection
        self._seen = 0
        self._first: float | None = None
        self._next_tick = 0

    def takes(self, time: float) -> bool:
        """Whether the frame shown at ``time`` is processed; call it once for each frame."""
        selection = self._selection
        if time < selection.start - START_TOLERANCE or selection.is_past(time):
            return False
        if self._first is None:
            self._first = time
        self._seen += 1
        if selection.rate is None:
            return (self._seen - 1) % selection.every == 0
        ticks = (time - self._first) * selection.rate + TICK_TOLERANCE
        if ticks < self._next_tick:
            return False
        self._next_tick = math.floor(ticks) + 1
        return True
