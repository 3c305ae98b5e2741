import numpy as np
import pytest

from everypose.tracking.score_range import ScoreRange
from everypose.tracking.settings import TrackerSettings


@pytest.mark.parametrize("unit", [1.0, 0.1, 25.0])
def test_thresholds_scale_with_the_scores(unit):
    scores = ScoreRange(TrackerSettings())
    for best in (0.8, 0.9, 1.0):
        scores.observe(np.array([0.3, best]) * unit)
    assert scores.top == pytest.approx(0.9 * unit)
    assert scores.high == pytest.approx(0.7 * 0.9 * unit)
    assert scores.low == pytest.approx(0.45 * 0.9 * unit)
    np.testing.assert_allclose(scores.reliability(np.array([0.0, 0.405, 0.6525, 0.9, 1.0]) * unit), [0, 0, 0.5, 1, 1])


def test_frames_without_a_sure_person_do_not_lower_the_range():
    scores = ScoreRange(TrackerSettings())
    scores.observe(np.array([0.9]))
    for _ in range(100):
        scores.observe(np.array([0.1, 0.05]))
        scores.observe(np.zeros(0))
    assert scores.top == 0.9


def test_given_thresholds_are_used():
    scores = ScoreRange(TrackerSettings(high_score=0.5, low_score=0.2))
    scores.observe(np.array([0.9]))
    assert (scores.high, scores.low) == (0.5, 0.2)


def test_nothing_is_reliable_before_the_first_detection():
    scores = ScoreRange(TrackerSettings())
    scores.observe(np.zeros(0))
    assert (scores.top, scores.high, scores.low) == (0, 0, 0)
    assert not len(scores.reliability(np.zeros(0)))


def test_a_low_threshold_above_the_top_score():
    scores = ScoreRange(TrackerSettings(low_score=30.0))
    scores.observe(np.array([1.0]))
    assert scores.reliability(np.array([1.0, 30.0, 40.0])).tolist() == [0, 0, 1]
