"""Boxes of one person smoothed over a whole track: the motion model's filter forwards, then backwards.

The backward pass is the Rauch-Tung-Striebel smoother (Bar-Shalom, Li and Kirubarajan 2001, section 8.6): every box
depends on all detections before and after it, and times without a detection get the most likely box.
"""

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.tracking import motion
from everypose.tracking.motion import Motion
from everypose.tracking.settings import MotionSettings


def smooth_boxes(
    times: Float64, detected: Int64, boxes: Float64, reliability: Float64, settings: MotionSettings
) -> Float64:
    """Boxes (M, 4) x1 y1 x2 y2 at all times.

    Args:
        times: (M,) seconds, rising.
        detected: (D,) positions in ``times`` of the detections, rising; the first is 0.
        boxes: (D, 4) x1 y1 x2 y2.
        reliability: (D,) from 0 to 1.
        settings: noise.

    Example:
        >>> boxes = np.array([[0.0, 0, 40, 100], [20, 0, 60, 100]])
        >>> every = smooth_boxes(np.arange(3) / 10, np.array([0, 2]), boxes, np.ones(2), MotionSettings())
        >>> every.shape, 0 < float(every[1, 0]) < 20
        ((3, 4), True)
    """
    predicted, filtered = _forwards(times, detected, boxes, reliability, settings)
    smoothed = filtered[-1]
    found = [smoothed.boxes]
    for step in range(len(times) - 2, -1, -1):
        smoothed = _backwards(filtered[step], predicted[step + 1], smoothed, times[step + 1] - times[step])
        found.append(smoothed.boxes)
    return np.concatenate(found[::-1])


def _forwards(
    times: Float64, detected: Int64, boxes: Float64, reliability: Float64, settings: MotionSettings
) -> tuple[list[Motion], list[Motion]]:
    """The state at every time before and after its detection."""
    place = {int(step): row for row, step in enumerate(detected)}
    state = motion.start(boxes[:1], reliability[:1], settings)
    predicted, filtered = [state], [state]
    for step in range(1, len(times)):
        state = motion.predict(state, times[step] - times[step - 1], settings)
        predicted.append(state)
        if step in place:
            row = place[step]
            state = motion.correct(state, boxes[row : row + 1], reliability[row : row + 1], settings)
        filtered.append(state)
    return predicted, filtered


def _backwards(filtered: Motion, predicted: Motion, later: Motion, seconds: float) -> Motion:
    """The smoothed state before a smoothed ``later`` one; only the means, which are all that boxes need."""
    # The gain P F' S^-1 of (position, velocity), with F = [[1, dt], [0, 1]] and S the predicted covariance.
    position_later = filtered.position_variance + seconds * filtered.covariance
    velocity_later = filtered.covariance + seconds * filtered.velocity_variance
    determinant = predicted.position_variance * predicted.velocity_variance - predicted.covariance**2
    gain = np.empty((2, 2))
    for row, (first, second) in enumerate(
        ((position_later, filtered.covariance), (velocity_later, filtered.velocity_variance))
    ):
        gain[row, 0] = ((first * predicted.velocity_variance - second * predicted.covariance) / determinant).item()
        gain[row, 1] = ((second * predicted.position_variance - first * predicted.covariance) / determinant).item()
    moved, faster = later.center - predicted.center, later.velocity - predicted.velocity
    size_gain = filtered.size_variance / predicted.size_variance
    return Motion(
        center=filtered.center + gain[0, 0] * moved + gain[0, 1] * faster,
        velocity=filtered.velocity + gain[1, 0] * moved + gain[1, 1] * faster,
        size=filtered.size + size_gain[:, None] * (later.size - predicted.size),
        position_variance=filtered.position_variance,
        covariance=filtered.covariance,
        velocity_variance=filtered.velocity_variance,
        size_variance=filtered.size_variance,
    )
