"""Boxes around people's centers of mass, computed from keypoints.

The center of mass moves steadily while arms and legs swing. The middle of a box follows the swinging limbs, and a
motion model with constant velocity takes that for changes of direction.
"""

from collections import defaultdict

import numpy as np

from everypose.core.arrays import Float64
from everypose.skeleton.skeleton import Skeleton

SEGMENTS = (
    ("shoulder", "hip", 0.2485, 0.5),
    ("shoulder", "elbow", 0.028, 0.436),
    ("elbow", "wrist", 0.022, 0.682),
    ("hip", "knee", 0.1, 0.433),
    ("knee", "ankle", 0.061, 0.606),
)
"""Of each side of the body: two joints, the segment's share of the body's mass, and the place of its center on the way
from the first joint to the second (Winter, Biomechanics and Motor Control of Human Movement, 4th edition, table 4.1;
half of the trunk, forearm and hand as one, lower leg and foot as one)."""
HEAD_MASS = 0.081
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LEAST_SHARE = 0.7
"""Keypoints with a score must carry this share of the mass; otherwise the box is not moved."""
FURTHEST = 0.25
"""A box is moved by at most this share of its width."""


class BodyMass:
    """The share of the body's mass that each keypoint of a skeleton carries.

    Args:
        skeleton: boxes of people whose skeleton has no shoulders, hips and knees are not moved.

    Example:
        >>> mass = BodyMass(Skeleton.named("coco"))
        >>> pose = np.full((1, 17, 3), 1.0)
        >>> pose[0, :, :2] = [12, 20]
        >>> mass.centered_boxes(pose, np.array([[0.0, 0.0, 20.0, 40.0]])).round(3).tolist()
        [[2.0, 0.0, 22.0, 40.0]]
    """

    def __init__(self, skeleton: Skeleton) -> None:
        shares: dict[str, float] = defaultdict(float)
        for side in ("left", "right"):
            for first, second, mass, place in SEGMENTS:
                shares[f"{side}_{first}"] += mass * (1 - place)
                shares[f"{side}_{second}"] += mass * place
        head = [name for name in HEAD if name in skeleton.keypoints]
        for name in head:
            shares[name] = HEAD_MASS / len(head)
        self._shares: Float64 = np.array([shares[name] for name in skeleton.keypoints])

    def centered_boxes(self, keypoints: Float64, boxes: Float64) -> Float64:
        """Boxes (N, 4) moved sideways, so that the center of mass is in the middle of their width.

        Args:
            keypoints: (N, K, 3) x, y, score; those with the score 0 are unknown and do not count.
            boxes: (N, 4) x1 y1 x2 y2.
        """
        mass = self._shares * (keypoints[..., 2] > 0)
        total = mass.sum(axis=1)
        middle = (boxes[:, 0] + boxes[:, 2]) / 2
        known = total >= LEAST_SHARE
        center = np.where(known, (mass * keypoints[..., 0]).sum(axis=1) / np.where(known, total, 1.0), middle)
        furthest = FURTHEST * (boxes[:, 2] - boxes[:, 0])
        moved = boxes.copy()
        moved[:, [0, 2]] += (center - middle).clip(-furthest, furthest)[:, None]
        return moved
