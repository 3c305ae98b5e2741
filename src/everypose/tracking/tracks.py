"""Detections and tracks as rows of arrays."""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.tracking import motion
from everypose.tracking.motion import Motion
from everypose.tracking.settings import MotionSettings

COLOR_MEMORY = 0.9
"""Weight of a track's mean colors when a confident detection is added."""


@dataclass
class Detections:
    """People of one frame that take part in tracking.

    Attributes:
        rows: (N,) their positions among the frame's people.
        keypoints: (N, K, 3) x, y in image pixels, score.
        boxes: (N, 4) x1 y1 x2 y2, with the center of mass in the middle of their width.
        scores: (N,)
        reliability: (N,) from 0, the least score that counts, to 1, a clearly visible person's.
        colors: (N, B) histograms; zeros where no frame is given.

    Example:
        >>> one = Detections(
        ...     rows=np.array([0]), keypoints=np.ones((1, 2, 3)), boxes=np.array([[0.0, 0, 10, 20]]),
        ...     scores=np.ones(1), reliability=np.ones(1), colors=np.zeros((1, 4)),
        ... )
        >>> len(one.select(np.array([True])))
        1
    """

    rows: Int64
    keypoints: Float64
    boxes: Float64
    scores: Float64
    reliability: Float64
    colors: Float64

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, which: Int64 | Mask) -> "Detections":
        """The detections at these positions."""
        return Detections(
            self.rows[which],
            self.keypoints[which],
            self.boxes[which],
            self.scores[which],
            self.reliability[which],
            self.colors[which],
        )


@dataclass
class Tracks:
    """T tracked people.

    Attributes:
        ids: (T,) identities, by the order in which tracks begin.
        motion: position, velocity and size now.
        keypoints: (T, K, 3) of the last detection.
        anchor: (T, 2) center of the track at the last detection; the pose moves with the center from there.
        colors: (T, B) mean histograms.
        rows: (T,) position of the detection among the frame's people; -1 for a track without one.
        scores: (T,) of the last detection.
        evidence: (T,) sum of the detections' reliabilities.
        detections: (T,) their number.
        first_seen: (T,) time of the first detection, in seconds.
        last_seen: (T,) time of the last detection, in seconds.
        first_center: (T, 2) center of the first detection.
        confirmed: (T,) whether the evidence has ever been enough.

    Example:
        >>> one = Detections(
        ...     rows=np.array([0]), keypoints=np.ones((1, 2, 3)), boxes=np.array([[0.0, 0, 10, 20]]),
        ...     scores=np.ones(1), reliability=np.ones(1), colors=np.zeros((1, 4)),
        ... )
        >>> Tracks.start(one, 0.0, first_id=7, settings=MotionSettings()).ids.tolist()
        [7]
    """

    ids: Int64
    motion: Motion
    keypoints: Float64
    anchor: Float64
    colors: Float64
    rows: Int64
    scores: Float64
    evidence: Float64
    detections: Int64
    first_seen: Float64
    last_seen: Float64
    first_center: Float64
    confirmed: Mask

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def start(cls, detections: Detections, time: float, *, first_id: int, settings: MotionSettings) -> "Tracks":
        """One new track for each detection."""
        state = motion.start(detections.boxes, detections.reliability, settings)
        count = len(detections)
        return cls(
            ids=first_id + np.arange(count),
            motion=state,
            keypoints=detections.keypoints.copy(),
            anchor=state.center.copy(),
            colors=detections.colors.copy(),
            rows=detections.rows.copy(),
            scores=detections.scores.copy(),
            evidence=detections.reliability.copy(),
            detections=np.ones(count, dtype=np.int64),
            first_seen=np.full(count, time),
            last_seen=np.full(count, time),
            first_center=state.center.copy(),
            confirmed=np.zeros(count, dtype=np.bool_),
        )

    def select(self, which: Int64 | Mask) -> "Tracks":
        """The tracks at these positions."""
        chosen = {name: getattr(self, name)[which] for name in _ARRAYS}
        return Tracks(motion=self.motion.select(which), **chosen)

    def extend(self, other: "Tracks") -> "Tracks":
        """These tracks followed by the others."""
        joined = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ARRAYS}
        return Tracks(motion=self.motion.extend(other.motion), **joined)

    def add(self, which: Int64, detections: Detections, time: float, settings: MotionSettings) -> None:
        """Take the next detection of each of these tracks into account."""
        corrected = motion.correct(self.motion.select(which), detections.boxes, detections.reliability, settings)
        self.motion.replace(which, corrected)
        self.keypoints[which] = detections.keypoints
        self.anchor[which] = corrected.center
        self.colors[which] = _mean_colors(self.colors[which], detections)
        self.rows[which] = detections.rows
        self.scores[which] = detections.scores
        self.evidence[which] += detections.reliability
        self.detections[which] += 1
        self.last_seen[which] = time

    def predicted_keypoints(self) -> Float64:
        """(T, K, 3) the last poses, moved with the predicted centers."""
        moved = self.keypoints.copy()
        moved[..., :2] += (self.motion.center - self.anchor)[:, None]
        return moved

    def move_with_camera(self, matrix: Float64) -> None:
        """Map everything to the coordinates of the next image by a (2, 3) similarity."""
        linear, offset = matrix[:, :2], matrix[:, 2]
        self.motion = motion.move_with_camera(self.motion, matrix)
        self.keypoints[..., :2] = self.keypoints[..., :2] @ linear.T + offset
        self.anchor = self.anchor @ linear.T + offset
        self.first_center = self.first_center @ linear.T + offset


_ARRAYS = tuple(name for name in Tracks.__dataclass_fields__ if name != "motion")


def _mean_colors(colors: Float64, detections: Detections) -> Float64:
    """Running means of histograms; unknown ones (all zero) take over or leave the other."""
    weight = ((1 - COLOR_MEMORY) * detections.reliability)[:, None]
    known = colors.any(axis=1, keepdims=True)
    added = detections.colors.any(axis=1, keepdims=True)
    return np.where(
        known & added, (1 - weight) * colors + weight * detections.colors, colors + ~known * detections.colors
    )
