"""The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) for the keypoints of tracked people, frame by frame.

A low-pass filter whose cutoff frequency rises with speed: smooth at rest, with little lag in motion. Speed is taken
relative to the person's size, so that the settings do not depend on the resolution or the distance.
"""

import numpy as np

from everypose.core.arrays import Float64, Image, Mask
from everypose.errors import UsageError
from everypose.people import People
from everypose.people.conversion import distinct_ids
from everypose.tracking.motion import box_scale, center_and_size
from everypose.tracking.smoothing.settings import LiveSmoothing


class LiveSmoother:
    """Smooths the keypoints of tracked people; scores, boxes and ids stay as they are.

    Args:
        settings: cutoff frequencies.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> smoother = LiveSmoother()
        >>> for time, x in ((0.0, 10.0), (0.1, 12.0)):
        ...     keypoints = np.full((1, 17, 3), x)
        ...     people = People(keypoints, [0.9], Skeleton.named("coco"), boxes=[[0, 0, 40, 100]], ids=[1])
        ...     smoothed = smoother.update(people, time)
        >>> 10 < float(smoothed.keypoints[0, 0, 0]) < 12
        True
    """

    def __init__(self, settings: LiveSmoothing | None = None) -> None:
        self.settings = settings or LiveSmoothing()
        self._keypoints: dict[int, _State] = {}
        self._time: float | None = None

    def update(self, people: People, time: float, *, image: Image | None = None) -> People:  # noqa: ARG002
        """Smooth the people of the next frame.

        Args:
            people: with ids. Keypoints with a score of 0 stay as they are.
            time: of the frame in seconds, later than the frame before.
            image: not used.

        Raises:
            UsageError: if there are people without ids or with the same, or time does not advance.
        """
        if people.ids is None and len(people):
            raise UsageError("only tracked people can be smoothed: the people have no ids")
        if self._time is not None and not time > self._time:
            raise UsageError(f"the frame at {time:g} s comes after the one at {self._time:g} s: times must increase")
        ids = distinct_ids(people)
        self._time = time
        self._forget(time)
        if not ids:
            return people
        keypoints = people.keypoints.astype(np.float64)
        sizes = box_scale(center_and_size(people.boxes)[1])
        for row, number in enumerate(ids):
            state = self._keypoints.setdefault(number, _State(len(people.skeleton)))
            found = keypoints[row, :, 2] > 0
            keypoints[row, found, :2] = state.update(
                keypoints[row, :, :2], found, time, size=float(sizes[row]), settings=self.settings
            )[found]
        return People(keypoints, people.scores, people.skeleton, boxes=people.boxes, image=people.image, ids=people.ids)

    def _forget(self, time: float) -> None:
        """Drop filters of ids not seen for longer than ``longest_gap``; an id seen again gets new filters."""
        gone = [number for number, state in self._keypoints.items() if time - state.newest > self.settings.longest_gap]
        for number in gone:
            del self._keypoints[number]


class _State:
    """The filters of one person's K keypoints."""

    def __init__(self, keypoints: int) -> None:
        self.position: Float64 = np.zeros((keypoints, 2))
        self.velocity: Float64 = np.zeros((keypoints, 2))
        self.time: Float64 = np.full(keypoints, -np.inf)

    @property
    def newest(self) -> float:
        """When a keypoint was last found."""
        return float(self.time.max())

    def update(self, measured: Float64, found: Mask, time: float, *, size: float, settings: LiveSmoothing) -> Float64:
        """Filtered positions (K, 2); only those of found keypoints change.

        Args:
            measured: (K, 2) pixels.
            found: (K,)
            time: seconds.
            size: of the person, in pixels.
            settings: cutoff frequencies.
        """
        elapsed = time - self.time
        fresh = found & (elapsed > settings.longest_gap)
        running = found & ~fresh
        self.position[fresh], self.velocity[fresh] = measured[fresh], 0.0
        seconds = elapsed[running, None]
        velocity = (measured[running] - self.position[running]) / seconds
        self.velocity[running] += smoothing_factor(seconds, settings.speed_cutoff) * (velocity - self.velocity[running])
        speed = np.linalg.norm(self.velocity[running], axis=1, keepdims=True) / size
        factor = smoothing_factor(seconds, settings.min_cutoff + settings.beta * speed)
        self.position[running] += factor * (measured[running] - self.position[running])
        self.time[found] = time
        return self.position


def smoothing_factor(seconds: Float64, cutoff: Float64 | float) -> Float64:
    """Weight of a new sample in an exponential filter: 1 / (1 + 1 / (2 pi cutoff seconds)).

    Example:
        >>> float(smoothing_factor(np.array(0.1), 1.0).round(3))
        0.386
    """
    factor: Float64 = 1 / (1 + 1 / (2 * np.pi * cutoff * seconds))
    return factor
