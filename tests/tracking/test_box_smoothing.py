"""The smoother against the solution of the whole least-squares problem."""

import numpy as np

from everypose.tracking.box_smoothing import smooth_boxes
from everypose.tracking.motion import INITIAL_SPEED
from everypose.tracking.settings import MotionSettings

SETTINGS = MotionSettings(acceleration=0.7, position_noise=0.06, size_drift=0.2, size_noise=0.1)


def literal_positions(times, detected, measured, noise, scale):
    """The most likely positions of one coordinate, all states at once: weighted residuals solved by least squares."""
    rows, values = [], []

    def add(states, coefficients, value, root):
        row = np.zeros((len(value), 2 * len(times)))
        for state, coefficient in zip(states, coefficients, strict=True):
            row[:, 2 * state : 2 * state + 2] = coefficient
        rows.append(root @ row)
        values.append(root @ value)

    first = (SETTINGS.position_noise * scale * noise[0]) ** 2
    prior = np.diag([first, (INITIAL_SPEED * scale) ** 2])
    add([0], [np.eye(2)], np.array([measured[0], 0.0]), np.linalg.inv(np.linalg.cholesky(prior)))
    for step in range(1, len(times)):
        dt = times[step] - times[step - 1]
        process = (SETTINGS.acceleration * scale) ** 2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        root = np.linalg.inv(np.linalg.cholesky(process))
        add([step - 1, step], [-np.array([[1, dt], [0, 1]]), np.eye(2)], np.zeros(2), root)
    for place, step in enumerate(detected):
        if place:
            sigma = SETTINGS.position_noise * scale * noise[place]
            add([step], [np.array([[1.0, 0.0]])], np.array([measured[place]]), np.array([[1 / sigma]]))
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0][::2]


def test_equals_the_least_squares_solution():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.05, 0.3, 14))
    detected = np.array([0, 1, 2, 4, 5, 9, 10, 13])
    reliability = rng.uniform(0, 1, len(detected))
    size = np.array([40.0, 100.0])
    centers = np.cumsum(rng.normal(0, 10, (len(detected), 2)), axis=0)
    boxes = np.concatenate([centers - size / 2, centers + size / 2], axis=1)
    found = smooth_boxes(times, detected, boxes, reliability, SETTINGS)
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], np.tile(size, (14, 1)))
    middle = (found[:, :2] + found[:, 2:]) / 2
    for axis in (0, 1):
        literal = literal_positions(times, detected, centers[:, axis], 3 - 2 * reliability, np.sqrt(size.prod()))
        np.testing.assert_allclose(middle[:, axis], literal, atol=1e-6)


def test_sizes_are_averaged_over_the_whole_track():
    rng = np.random.default_rng(1)
    times = np.arange(50) / 10
    widths = 40 + rng.normal(0, 6, 50)
    boxes = np.stack([100 - widths / 2, np.zeros(50), 100 + widths / 2, np.full(50, 100.0)], axis=1)
    found = smooth_boxes(times, np.arange(50), boxes, np.ones(50), SETTINGS)
    assert np.std(found[:, 2] - found[:, 0]) < 0.4 * np.std(widths)


def test_one_detection():
    box = np.array([[10.0, 20, 50, 120]])
    np.testing.assert_allclose(smooth_boxes(np.zeros(1), np.zeros(1, int), box, np.ones(1), SETTINGS), box)
