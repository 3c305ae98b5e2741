"""Motion of boxes: a Kalman filter with constant velocity of the center, and slowly drifting width and height.

x and y have the same noise, and so have width and height: one variance serves both axes of each pair.
The equations are those of the discretized white-noise acceleration model (Bar-Shalom, Li and Kirubarajan 2001,
section 6.2.2), with noise relative to the person's size.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64, Mask
from everypose.tracking.settings import MotionSettings

INITIAL_SPEED = 1.5
"""Standard deviation of an unknown velocity, in sizes per second: a person who walks fast, seen upright."""
LEAST_RELIABLE_NOISE = 3.0
"""Noise of the least reliable detections, often cut by an occluder, relative to that of the most reliable ones."""
SMALLEST_SIDE = 1.0
"""Width and height in pixels are at least this."""


@dataclass
class Motion:
    """Position, velocity and size of T people, and how uncertain they are.

    Attributes:
        center: (T, 2) x, y in pixels.
        velocity: (T, 2) in pixels per second.
        size: (T, 2) width, height in pixels.
        position_variance: (T,) of each coordinate of the center.
        covariance: (T,) of a coordinate and its velocity.
        velocity_variance: (T,) of each velocity.
        size_variance: (T,) of width and of height.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
        >>> motion = start(boxes, np.ones(1), MotionSettings())
        >>> motion.boxes.tolist(), len(motion)
        ([[0.0, 0.0, 20.0, 40.0]], 1)
    """

    center: Float64
    velocity: Float64
    size: Float64
    position_variance: Float64
    covariance: Float64
    velocity_variance: Float64
    size_variance: Float64

    def __len__(self) -> int:
        return len(self.center)

    @property
    def boxes(self) -> Float64:
        """(T, 4) x1 y1 x2 y2."""
        return np.concatenate([self.center - self.size / 2, self.center + self.size / 2], axis=1)

    @property
    def scale(self) -> Float64:
        """(T,) the people's sizes in pixels: square roots of their box areas."""
        return box_scale(self.size)

    def select(self, which: Int64 | Mask) -> "Motion":
        """The people at these positions."""
        return Motion(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def extend(self, other: "Motion") -> "Motion":
        """These people followed by the others."""
        joined = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
        }
        return Motion(**joined)

    def replace(self, which: Int64, other: "Motion") -> None:
        """Overwrite the people at these positions."""
        for field in fields(self):
            getattr(self, field.name)[which] = getattr(other, field.name)


def center_and_size(boxes: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Boxes (N, 4) x1 y1 x2 y2 as centers (N, 2) and widths and heights (N, 2).

    Example:
        >>> center, size = center_and_size([[0, 0, 20, 40]])
        >>> center.tolist(), size.tolist()
        ([[10.0, 20.0]], [[20.0, 40.0]])
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]).clip(min=SMALLEST_SIDE)


def box_scale(size: Float64) -> Float64:
    """(N,) square roots of the areas of widths and heights (N, 2).

    Example:
        >>> box_scale(np.array([[10.0, 40.0]])).tolist()
        [20.0]
    """
    scale: Float64 = np.sqrt(size.prod(axis=1))
    return scale


def measurement_noise(reliability: Float64) -> Float64:
    """(N,) factor on the noise of detections by their reliability (N,) from 0 to 1.

    Example:
        >>> measurement_noise(np.array([0.0, 1.0])).tolist()
        [3.0, 1.0]
    """
    return LEAST_RELIABLE_NOISE - (LEAST_RELIABLE_NOISE - 1) * reliability


def start(boxes: npt.ArrayLike, reliability: Float64, settings: MotionSettings) -> Motion:
    """Motion after the first detections: at rest, with unknown velocity.

    Args:
        boxes: (N, 4) x1 y1 x2 y2.
        reliability: (N,) from 0 to 1.
        settings: noise.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
        >>> motion = start(boxes, np.ones(1), MotionSettings())
        >>> motion.velocity.tolist()
        [[0.0, 0.0]]
    """
    center, size = center_and_size(boxes)
    scale = box_scale(size)
    noise = scale * measurement_noise(reliability)
    return Motion(
        center=center,
        velocity=np.zeros_like(center),
        size=size,
        position_variance=(settings.position_noise * noise) ** 2,
        covariance=np.zeros(len(center)),
        velocity_variance=(INITIAL_SPEED * scale) ** 2,
        size_variance=(settings.size_noise * noise) ** 2,
    )


def predict(motion: Motion, seconds: float, settings: MotionSettings) -> Motion:
    """Motion ``seconds`` later, without a detection.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
        >>> motion = start(boxes, np.ones(1), MotionSettings())
        >>> later = predict(motion, 0.1, MotionSettings())
        >>> bool(later.position_variance > motion.position_variance)
        True
    """
    power = (settings.acceleration * motion.scale) ** 2
    return Motion(
        center=motion.center + seconds * motion.velocity,
        velocity=motion.velocity,
        size=motion.size,
        position_variance=motion.position_variance
        + 2 * seconds * motion.covariance
        + seconds**2 * motion.velocity_variance
        + power * seconds**3 / 3,
        covariance=motion.covariance + seconds * motion.velocity_variance + power * seconds**2 / 2,
        velocity_variance=motion.velocity_variance + power * seconds,
        size_variance=motion.size_variance + (settings.size_drift * motion.scale) ** 2 * seconds,
    )


def correct(motion: Motion, boxes: npt.ArrayLike, reliability: Float64, settings: MotionSettings) -> Motion:
    """Motion with one detection of each person taken into account.

    Args:
        motion: T people, predicted to the time of the detections.
        boxes: (T, 4) x1 y1 x2 y2.
        reliability: (T,) from 0 to 1.
        settings: noise.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
        >>> motion = start(boxes, np.ones(1), MotionSettings())
        >>> seen = correct(predict(motion, 0.1, MotionSettings()), boxes + 4, np.ones(1), MotionSettings())
        >>> bool(0 < seen.velocity[0, 0] <= 40)
        True
    """
    center, size = center_and_size(boxes)
    noise = motion.scale * measurement_noise(reliability)
    innovation_variance = motion.position_variance + (settings.position_noise * noise) ** 2
    position_gain = motion.position_variance / innovation_variance
    velocity_gain = motion.covariance / innovation_variance
    size_gain = motion.size_variance / (motion.size_variance + (settings.size_noise * noise) ** 2)
    innovation = center - motion.center
    return Motion(
        center=motion.center + position_gain[:, None] * innovation,
        velocity=motion.velocity + velocity_gain[:, None] * innovation,
        size=motion.size + size_gain[:, None] * (size - motion.size),
        position_variance=(1 - position_gain) * motion.position_variance,
        covariance=(1 - position_gain) * motion.covariance,
        velocity_variance=motion.velocity_variance - velocity_gain * motion.covariance,
        size_variance=(1 - size_gain) * motion.size_variance,
    )


def move_with_camera(motion: Motion, matrix: Float64) -> Motion:
    """Motion in the coordinates of an image that a (2, 3) similarity maps to.

    Args:
        motion: T people.
        matrix: rotation, uniform scale and translation of pixel coordinates.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
        >>> motion = start(boxes, np.ones(1), MotionSettings())
        >>> move_with_camera(motion, np.array([[2.0, 0, 5], [0, 2.0, 0]])).boxes.tolist()
        [[5.0, 0.0, 45.0, 80.0]]
    """
    linear = matrix[:, :2]
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    return Motion(
        center=motion.center @ linear.T + matrix[:, 2],
        velocity=motion.velocity @ linear.T,
        size=motion.size * scale,
        position_variance=motion.position_variance * scale**2,
        covariance=motion.covariance * scale**2,
        velocity_variance=motion.velocity_variance * scale**2,
        size_variance=motion.size_variance * scale**2,
    )
