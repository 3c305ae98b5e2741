"""Timing of several candidates in turns, so that other load on the machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

Run = Callable[[], object]

PAUSE = 0.05
"""Seconds between two candidates: threads of a library go on spinning when its work is done, OpenBLAS' for 25 ms."""


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: no new round begins after so long.
        least: rounds that are taken however long they last.
        most: rounds that are taken at most.
        warm_up: whether a round is taken first that does not count.
    """

    seconds: float
    least: int = 3
    most: int = 15
    warm_up: bool = True

    def part(self, share: float) -> "Effort":
        """The same for one of several measurements of a section."""
        return replace(self, seconds=self.seconds * share)


SMOKE = Effort(seconds=0, least=1, most=1, warm_up=False)


@dataclass(frozen=True)
class Spread:
    """The median of some numbers and their quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one number."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)

    def scaled(self, factor: float) -> "Spread":
        """All three times ``factor``."""
        return Spread(self.low * factor, self.median * factor, self.high * factor)

    def __format__(self, form: str) -> str:
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"


@dataclass(frozen=True)
class Timings:
    """Seconds of each candidate, round by round."""

    seconds: Mapping[str, Sequence[float]]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return len(next(iter(self.seconds.values())))

    def of(self, name: str) -> Spread:
        """A candidate's seconds."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, other: str) -> Spread:
        """Return the ratio of a candidate's time to that of ``other`` within each round."""
        return Spread.of([a / b for a, b in zip(self.seconds[name], self.seconds[other], strict=True)])


def in_turns(runs: Mapping[str, Run], effort: Effort) -> Timings:
    """Time the candidates in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values() if effort.warm_up else ():
        run()
    begin = time.monotonic()
    for done in range(effort.most):
        if done >= effort.least and time.monotonic() - begin > effort.seconds:
            break
        for name, run in runs.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return Timings(seconds)
