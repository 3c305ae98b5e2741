"""Score thresholds that follow the range of a model's scores.

A clearly visible person scores 0.1 with some single-stage models and 0.9 with others: fixed thresholds would exclude
all people of the former.
"""

import numpy as np

from everypose.core.arrays import Float64
from everypose.tracking.settings import TrackerSettings

HIGH_SHARE, LOW_SHARE = 0.7, 0.45
"""The default thresholds as shares of the top score."""
CONFIDENT_SHARE = 0.5
"""A frame whose best score is below this share of the top score does not change the range."""


class ScoreRange:
    """The top score, the mean of the frames' best scores so far, and the thresholds that follow from it.

    Args:
        settings: thresholds that are given there are used as they are.

    Example:
        >>> scores = ScoreRange(TrackerSettings())
        >>> scores.observe(np.array([0.2, 0.1]))
        >>> round(scores.high, 3), round(scores.low, 3)
        (0.14, 0.09)
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._total = 0.0
        self._frames = 0

    def observe(self, scores: Float64) -> None:
        """Take a frame's scores (N,) into account."""
        best = float(scores.max(initial=0.0))
        if best > 0 and best >= CONFIDENT_SHARE * self.top:
            self._total += best
            self._frames += 1

    @property
    def top(self) -> float:
        """What a clearly visible person scores; 0 before the first detection."""
        return self._total / max(1, self._frames)

    @property
    def high(self) -> float:
        """Score from which a detection may start a track."""
        return HIGH_SHARE * self.top if self._settings.high_score is None else self._settings.high_score

    @property
    def low(self) -> float:
        """Score below which a detection is ignored."""
        return LOW_SHARE * self.top if self._settings.low_score is None else self._settings.low_score

    def reliability(self, scores: Float64) -> Float64:
        """Scores (N,) mapped to 0 at the low threshold and 1 at the top score, and clipped."""
        span = max(self.top - self.low, float(np.finfo(np.float64).tiny))
        with np.errstate(over="ignore"):  # scores far above a low threshold that is above the top score
            return ((scores - self.low) / span).clip(0, 1)
