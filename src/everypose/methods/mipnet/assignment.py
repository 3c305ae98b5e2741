"""Which people a box is to find besides its own (MIPNet, section 3.2), by the rule of the paper or of the release.

The released rule looks for the people with the nearest boxes, however far, and then asks whether enough of them is in
the augmented crop. The paper's rule looks only at people of whom enough is in the box as annotated. In both, whoever is
missing is replaced by the box's own person, so that every instance always has somebody to find.
"""

from typing import Literal

import numpy as np

from everypose.core.arrays import Float32, Int64, Numbers

Rule = Literal["released", "paper"]

# The paper: three keypoints in the box. The release: more than three in the augmented crop.
_LEAST_IN_BOX = 3
_LEAST_IN_CROP = 4


def box_people(boxes: Numbers, annotated_boxes: Numbers, keypoints: Numbers, instances: int, rule: Rule) -> Int64:
    """The people whom each box is to find, nearest first by the squared distance of the boxes' centres.

    Of equally near people the earlier one is taken. Only the paper's rule looks further when the nearest will not do.

    Args:
        boxes: (P, 4) x1 y1 x2 y2 of an image's people, cleaned (:func:`everypose.methods.top_down.crops.clean_boxes`).
        annotated_boxes: (P, 4) the same before they were cleaned; the paper's rule looks into these.
        keypoints: (P, K, 3) x, y in image pixels, visibility.
        instances: N, of a box.
        rule: see above.

    Returns:
        (P, N) rows of the people: the primary first, then others, the primary again where one is missing.
    """
    # Centres and distances in float32, as released: they decide what is equally near.
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    centers = ((corners[:, :2] + corners[:, 2:]) / 2).astype(np.float32)
    distance = ((centers[:, None] - centers[None]) ** 2).sum(axis=-1).astype(np.float64)
    eligible = ~np.eye(len(corners), dtype=np.bool_)
    if rule == "paper":
        eligible &= keypoints_in_boxes(keypoints, annotated_boxes) >= _LEAST_IN_BOX
    nearest = np.argsort(np.where(eligible, distance, np.inf), axis=1, kind="stable")[:, : instances - 1]
    primary = np.arange(len(corners))[:, None]
    others = np.where(np.take_along_axis(eligible, nearest, axis=1), nearest, primary)
    missing = np.repeat(primary, instances - 1 - others.shape[1], axis=1)
    return np.concatenate([primary, others, missing], axis=1)


def keypoints_in_boxes(keypoints: Numbers, boxes: Numbers) -> Int64:
    """(B, P): how many labelled keypoints of each person (P, K, 3) lie in each box (B, 4), its border included."""
    poses = np.asarray(keypoints, dtype=np.float64)[None]
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 1, 4)
    inside = (poses[..., :2] >= corners[..., :2]) & (poses[..., :2] <= corners[..., 2:])
    count: Int64 = (inside.all(axis=-1) & (poses[..., 2] > 0)).sum(axis=-1)
    return count


def present_people(keypoints: Float32) -> Float32:
    """The released rule's second part: people of whom less than four keypoints are in the crop give way to the primary.

    Args:
        keypoints: (N, K, 3) of a sample: x, y in crop pixels and weight, 0 outside the crop. The primary comes first.

    Returns:
        (N, K, 3) the same, the primary's in place of those who are not there.
    """
    present = (keypoints[..., 2] > 0).sum(axis=-1) >= _LEAST_IN_CROP
    return np.where(present[:, None, None], keypoints, keypoints[:1])
