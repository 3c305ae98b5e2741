"""Assignment of people to the N instances of a box (MIPNet, section 3.2), by the paper's or the released code's rule.

The released rule takes the people with the nearest boxes at any distance, then drops those with too few keypoints in
the augmented crop. The paper's rule considers only people with enough keypoints in the box as annotated. In both, an
instance without a person gets the primary person of the box, so that every instance has a target.
"""

from typing import Literal

import numpy as np

from everypose.core.arrays import Float32, Int64, Numbers

Rule = Literal["released", "paper"]

# The paper: three keypoints in the box. The release: more than three in the augmented crop.
_LEAST_IN_BOX = 3
_LEAST_IN_CROP = 4


def box_people(boxes: Numbers, annotated_boxes: Numbers, keypoints: Numbers, instances: int, rule: Rule) -> Int64:
    """Assign to each box N people, nearest first by squared distance of the boxes' centers.

    Ties go to the person listed first. Only the paper's rule tries people farther away when the nearest is ineligible.

    Args:
        boxes: (P, 4) x1 y1 x2 y2 of an image's people, cleaned (:func:`everypose.methods.top_down.crops.clean_boxes`).
        annotated_boxes: (P, 4) the same before cleaning; the paper's rule counts keypoints inside these.
        keypoints: (P, K, 3) x, y in image pixels, visibility.
        instances: N, the number of instances of a box.
        rule: see above.

    Returns:
        (P, N) indices of people: the primary first, then others; the primary again for instances without a person.

    >>> boxes = np.array([[0, 0, 10, 20], [4, 0, 14, 20]])
    >>> keypoints = np.full((2, 17, 3), (7.0, 10.0, 2.0))
    >>> box_people(boxes, boxes, keypoints, 2, "paper").tolist()  # the other person is in each box
    [[0, 1], [1, 0]]
    """
    # Centers and distances in float32, as released: they decide what is equally near.
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
    """(B, P): how many labeled keypoints of each person (P, K, 3) lie in each box (B, 4), its border included.

    >>> keypoints = np.array([[[5, 5, 2], [15, 5, 2], [5, 5, 0]]])
    >>> keypoints_in_boxes(keypoints, np.array([[0, 0, 10, 10]])).tolist()  # one outside, one not labeled
    [[1]]
    """
    poses = np.asarray(keypoints, dtype=np.float64)[None]
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 1, 4)
    inside = (poses[..., :2] >= corners[..., :2]) & (poses[..., :2] <= corners[..., 2:])
    count: Int64 = (inside.all(axis=-1) & (poses[..., 2] > 0)).sum(axis=-1)
    return count


def present_people(keypoints: Float32) -> Float32:
    """Replace people with fewer than four keypoints in the crop by the primary: the released rule's second part.

    Args:
        keypoints: (N, K, 3) of a sample: x, y in crop pixels and weight, 0 outside the crop. The primary comes first.

    Returns:
        (N, K, 3) the same, with the primary's keypoints for people who are absent.

    >>> primary, second = np.ones((2, 17, 3), np.float32)
    >>> second[3:, 2] = 0  # three keypoints in the crop are too few
    >>> present_people(np.stack([primary, second]))[1].sum(axis=0).tolist()
    [17.0, 17.0, 17.0]
    """
    present = (keypoints[..., 2] > 0).sum(axis=-1) >= _LEAST_IN_CROP
    return np.where(present[:, None, None], keypoints, keypoints[:1])
