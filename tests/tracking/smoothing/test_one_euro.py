import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.errors import UsageError
from everypose.people import People
from everypose.tracking.smoothing.one_euro import LiveSmoother
from everypose.tracking.smoothing.settings import LiveSmoothing
from tracking.walkers import COCO

SETTINGS = LiveSmoothing(min_cutoff=1.3, beta=2.0, speed_cutoff=0.9)


def person(points, size=100.0, number=1, score=0.9):
    keypoints = np.concatenate([points, np.full((17, 1), score)], axis=1)
    return People(keypoints[None], [0.9], COCO, boxes=[[0, 0, size, size]], ids=[number])


def literal(points, times, size):
    """The paper's pseudo-code for one keypoint, with the norm of both speeds."""

    def alpha(cutoff, dt):
        tau = 1 / (2 * np.pi * cutoff)
        return 1 / (1 + tau / dt)

    x, dx, done = np.array(points[0], float), np.zeros(2), [points[0]]
    for i in range(1, len(points)):
        dt = times[i] - times[i - 1]
        speed = (points[i] - x) / dt
        a = alpha(SETTINGS.speed_cutoff, dt)
        dx = a * speed + (1 - a) * dx
        cutoff = SETTINGS.min_cutoff + SETTINGS.beta * np.hypot(*dx) / size
        a = alpha(cutoff, dt)
        x = a * points[i] + (1 - a) * x
        done.append(x)
    return np.array(done)


@given(st.integers(0, 1000), st.floats(20, 500))
@settings(max_examples=15, deadline=None)
def test_equals_the_papers_pseudo_code(seed, size):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.2, 12))
    points = np.cumsum(rng.normal(0, 5, (12, 17, 2)), axis=0) + 100
    smoother = LiveSmoother(SETTINGS)
    found = np.stack(
        [smoother.update(person(p, size), t).keypoints[0, :, :2] for p, t in zip(points, times, strict=True)]
    )
    for keypoint in (0, 16):
        np.testing.assert_allclose(found[:, keypoint], literal(points[:, keypoint], times, size), rtol=1e-4)


@pytest.mark.parametrize("scale", [0.2, 7.0])
def test_the_resolution_does_not_matter(scale):
    rng = np.random.default_rng(0)
    points = np.cumsum(rng.normal(0, 3, (10, 17, 2)), axis=0) + 100
    one, other = LiveSmoother(), LiveSmoother()
    for number, place in enumerate(points):
        small = one.update(person(place), number / 30)
        large = other.update(person(place * scale, 100 * scale), number / 30)
        np.testing.assert_allclose(large.keypoints[..., :2], small.keypoints[..., :2] * scale, rtol=1e-4)


def test_jitter_shrinks_and_a_resting_place_is_kept():
    rng = np.random.default_rng(0)
    smoother = LiveSmoother()
    place = rng.uniform(0, 100, (17, 2))
    raw, smooth = [], []
    for frame in range(200):
        people = person(place + rng.normal(0, 1, (17, 2)))
        raw.append(people.keypoints[0, :, :2])
        smooth.append(smoother.update(people, frame / 30).keypoints[0, :, :2])
    raw, smooth = np.array(raw[50:]), np.array(smooth[50:])
    assert np.abs(np.diff(smooth, n=2, axis=0)).mean() < 0.35 * np.abs(np.diff(raw, n=2, axis=0)).mean()
    np.testing.assert_allclose(smooth.mean(axis=0), place, atol=0.3)  # type: ignore[attr-defined]


def test_people_are_filtered_apart_and_start_anew_after_a_gap():
    smoother = LiveSmoother()
    zero, far = np.zeros((17, 2)), np.full((17, 2), 500.0)
    both = People(
        np.stack([np.column_stack([p, np.ones(17)]) for p in (zero, far)]),
        [1, 1],
        COCO,
        boxes=[[0, 0, 9, 9]] * 2,
        ids=[1, 2],
    )
    smoother.update(both, 0.0)
    swapped = smoother.update(both[[1, 0]], 0.1)
    np.testing.assert_array_equal(swapped.keypoints[:, :, :2], both[[1, 0]].keypoints[:, :, :2])
    late = smoother.update(person(far, number=1), 5.0)
    np.testing.assert_array_equal(late.keypoints[0, :, :2], far)


def test_keypoints_that_are_not_found_stay():
    smoother = LiveSmoother()
    smoother.update(person(np.zeros((17, 2))), 0.0)
    hidden = person(np.full((17, 2), 50.0), score=0.0)
    np.testing.assert_array_equal(smoother.update(hidden, 0.1).keypoints, hidden.keypoints)
    back = smoother.update(person(np.full((17, 2), 50.0)), 0.2).keypoints[0, :, 0]
    assert (back > 0).all()
    assert (back < 50).all()


def test_bad_input():
    with pytest.raises(UsageError, match="no ids"):
        LiveSmoother().update(People(np.ones((1, 17, 3)), [1], COCO), 0.0)
    smoother = LiveSmoother()
    smoother.update(People.empty(COCO), 1.0)
    with pytest.raises(UsageError, match="times must increase"):
        smoother.update(People.empty(COCO), 1.0)


def test_people_with_one_id_are_refused():
    people = People(np.ones((2, 17, 3)), [0.9, 0.8], COCO, ids=[3, 3])
    with pytest.raises(UsageError, match="two people of one frame have the id 3"):
        LiveSmoother().update(people, 0.0)
