"""Tracked people that are neither right nor wrong, because they match an ignored annotation."""

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.core.assignment import best_assignment

_THRESHOLD = 0.5
_EPSILON = float(np.finfo(np.float64).eps)


def matched_to_ignored(similarity: Float64, ignored: Mask) -> Mask:
    """(T,) tracked people who are matched to an ignored annotation, with a similarity of at least 0.5.

    Args:
        similarity: (G, T) of all annotated people, counted or not, and the tracked people of a frame.
        ignored: (G,) annotations whose matches are left out.

    Example:
        >>> matched_to_ignored(np.array([[0.9, 0.6], [0.7, 0.0]]), np.array([True, False]))
        array([False,  True])
    """
    value = np.where(similarity >= _THRESHOLD - _EPSILON, similarity, 0.0)
    rows, columns = best_assignment(value)
    left_out = np.zeros(similarity.shape[1], dtype=np.bool_)
    left_out[columns[ignored[rows] & (value[rows, columns] > _EPSILON)]] = True
    return left_out
