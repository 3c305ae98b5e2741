"""The Kalman filter against the textbook's matrices."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.tracking import motion
from everypose.tracking.settings import MotionSettings

SETTINGS = MotionSettings(acceleration=0.7, position_noise=0.06, size_drift=0.2, size_noise=0.1)


class LiteralFilter:
    """One coordinate: state (position, velocity) with F, Q, H, R written out; and one side: a random walk."""

    def __init__(self, position, side, scale, noise):
        self.state = np.array([position, 0.0])
        self.covariance = np.diag([(SETTINGS.position_noise * scale * noise) ** 2, (motion.INITIAL_SPEED * scale) ** 2])
        self.side, self.side_variance = side, (SETTINGS.size_noise * scale * noise) ** 2

    def predict(self, dt, scale):
        transition = np.array([[1, dt], [0, 1]])
        power = (SETTINGS.acceleration * scale) ** 2
        process = power * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        self.state = transition @ self.state
        self.covariance = transition @ self.covariance @ transition.T + process
        self.side_variance += (SETTINGS.size_drift * scale) ** 2 * dt

    def correct(self, position, side, scale, noise):
        observe = np.array([[1.0, 0.0]])
        variance = (SETTINGS.position_noise * scale * noise) ** 2
        gain = self.covariance @ observe.T / (observe @ self.covariance @ observe.T + variance)
        self.state = self.state + (gain * (position - self.state[0])).ravel()
        self.covariance = (np.eye(2) - gain @ observe) @ self.covariance
        gain = self.side_variance / (self.side_variance + (SETTINGS.size_noise * scale * noise) ** 2)
        self.side += gain * (side - self.side)
        self.side_variance *= 1 - gain


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 1000))
def test_equals_the_matrix_form(steps, seed):
    rng = np.random.default_rng(seed)

    def boxes():
        low = rng.uniform(0, 500, (3, 2))
        return np.concatenate([low, low + rng.uniform(20, 200, (3, 2))], axis=1)

    first = boxes()
    reliability = rng.uniform(0, 1, 3)
    state = motion.start(first, reliability, SETTINGS)
    center, size = motion.center_and_size(first)
    literal = [
        [
            LiteralFilter(center[t, axis], size[t, axis], np.sqrt(size[t].prod()), 3 - 2 * reliability[t])
            for axis in (0, 1)
        ]
        for t in range(3)
    ]
    for seconds, share in steps:
        scale = state.scale
        state = motion.predict(state, seconds, SETTINGS)
        for t in range(3):
            for axis in (0, 1):
                literal[t][axis].predict(seconds, scale[t])
        found, reliability = boxes(), np.full(3, share)
        center, size = motion.center_and_size(found)
        scale = state.scale
        state = motion.correct(state, found, reliability, SETTINGS)
        for t in range(3):
            for axis in (0, 1):
                literal[t][axis].correct(center[t, axis], size[t, axis], scale[t], 3 - 2 * share)
        for t in range(3):
            for axis in (0, 1):
                one = literal[t][axis]
                np.testing.assert_allclose(
                    [state.center[t, axis], state.velocity[t, axis]], one.state, rtol=1e-9, atol=1e-9
                )
                covariance = [
                    [state.position_variance[t], state.covariance[t]],
                    [state.covariance[t], state.velocity_variance[t]],
                ]
                np.testing.assert_allclose(covariance, one.covariance, rtol=1e-7, atol=1e-9)
                np.testing.assert_allclose([state.size[t, axis], state.size_variance[t]], [one.side, one.side_variance])


def test_two_short_predictions_are_one_long_one():
    state = motion.start([[0, 0, 40, 100]], np.ones(1), SETTINGS)
    state.velocity[:] = 30
    once = motion.predict(state, 0.5, SETTINGS)
    twice = motion.predict(motion.predict(state, 0.2, SETTINGS), 0.3, SETTINGS)
    for name in motion.Motion.__dataclass_fields__:
        np.testing.assert_allclose(getattr(once, name), getattr(twice, name), rtol=1e-12)


def test_a_steady_walk_is_followed():
    state = motion.start([[0, 0, 40, 100]], np.ones(1), SETTINGS)
    for step in range(1, 30):
        state = motion.predict(state, 0.1, SETTINGS)
        state = motion.correct(state, [[5 * step, 0, 40 + 5 * step, 100]], np.ones(1), SETTINGS)
    np.testing.assert_allclose(state.velocity, [[50, 0]], atol=0.5)
    np.testing.assert_allclose(state.boxes, [[145, 0, 185, 100]], atol=0.5)


@settings(deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.8, 1.25), st.floats(-50, 50), st.integers(0, 100))
def test_camera_motion_and_prediction_commute(angle, scale, shift, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 500, (4, 2))
    state = motion.start(np.concatenate([low, low + rng.uniform(20, 200, (4, 2))], axis=1), np.ones(4), SETTINGS)
    state.velocity[:] = rng.normal(0, 50, (4, 2))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin, shift], [sin, cos, -shift]])
    first = motion.move_with_camera(motion.predict(state, 0.3, SETTINGS), matrix)
    second = motion.predict(motion.move_with_camera(state, matrix), 0.3, SETTINGS)
    for name in motion.Motion.__dataclass_fields__:
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9, atol=1e-9)


def test_boxes_without_area_have_a_size():
    state = motion.start([[5, 5, 5, 5]], np.zeros(1), SETTINGS)
    assert np.isfinite(
        motion.correct(motion.predict(state, 0.1, SETTINGS), [[5, 5, 5, 5]], np.zeros(1), SETTINGS).boxes
    ).all()
