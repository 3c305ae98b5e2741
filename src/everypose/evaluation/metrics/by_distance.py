"""Metrics that take exactly one prediction for each annotated person, and no detections.

To add one, write a function from `PairedPeople` to numbers by name, add it to `DISTANCE_METRICS`, and its name to
`everypose.evaluation.metrics.metric.Metric`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.coco_schema import JsonId
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.metrics.pck import MPII_NOT_SCORED, score_hands, score_pckh, tight_sides
from everypose.skeleton.skeleton import Skeleton


@dataclass(frozen=True)
class PairedPeople:
    """Annotated people and the prediction for each.

    Attributes:
        predicted: (N, K, 2) float64, image pixels.
        annotated: (N, K, 2) float64, image pixels.
        labeled: (N, K) bool, keypoints that are annotated.
        head_sizes: (N,) float64, pixels; NaN where the annotation file has none.
        annotation_ids: N ids, for messages.
        skeleton: of the K keypoints.

    >>> labeled, head_sizes = np.ones((1, 16), bool), np.array([20.0])
    >>> mpii = Skeleton.named("mpii")
    >>> people = PairedPeople(np.zeros((1, 16, 2)), np.ones((1, 16, 2)), labeled, head_sizes, [7], mpii)
    >>> people.predicted.shape
    (1, 16, 2)
    """

    predicted: Float64
    annotated: Float64
    labeled: Mask
    head_sizes: Float64
    annotation_ids: Sequence[JsonId]
    skeleton: Skeleton


def pckh(people: PairedPeople) -> dict[str, float]:
    """Compute MPII's PCKh.

    Raises:
        UsageError: if the keypoints are not MPII's.
        EveryposeError: if a person has no head size.

    >>> annotated = np.random.default_rng(0).uniform(0, 100, (1, 16, 2))
    >>> labeled, head_sizes = np.ones((1, 16), bool), np.array([20.0])
    >>> people = PairedPeople(annotated + 5, annotated, labeled, head_sizes, [7], Skeleton.named("mpii"))
    >>> numbers = pckh(people)  # each keypoint is 7.1 pixels off
    >>> numbers["PCKh@0.5"], numbers["PCKh@0.1"]
    (1.0, 0.0)
    """
    skeleton = people.skeleton
    if len(skeleton) <= max(MPII_NOT_SCORED):
        raise UsageError(f"PCKh is MPII's metric of 16 keypoints, the skeleton {skeleton.name} has {len(skeleton)}")
    if (missing := np.flatnonzero(np.isnan(people.head_sizes))).size:
        raise EveryposeError(
            f"annotation {people.annotation_ids[missing[0]]} has no head_size, head_box (x1 y1 x2 y2) or"
            " bbox_head (x y w h) for PCKh"
        )
    scores = score_pckh(people.predicted, people.annotated, labeled=people.labeled, head_sizes=people.head_sizes)
    return scores.numbers()


def hand(people: PairedPeople) -> dict[str, float]:
    """Compute InterHand2.6M's PCK, AUC and end-point error.

    Raises:
        EveryposeError: if no keypoint is labeled.

    >>> annotated = np.random.default_rng(0).uniform(0, 100, (1, 21, 2))
    >>> labeled, head_sizes = np.ones((1, 21), bool), np.array([np.nan])
    >>> people = PairedPeople(annotated + 3, annotated, labeled, head_sizes, [7], Skeleton.named("interhand2d"))
    >>> {name: round(value, 2) for name, value in hand(people).items()}
    {'PCK@0.2': 1.0, 'AUC': 0.85, 'EPE': 4.24}
    """
    sides = tight_sides(people.annotated, people.labeled)
    return score_hands(people.predicted, people.annotated, labeled=people.labeled, sides=sides).numbers()


DISTANCE_METRICS: Mapping[Metric, Callable[[PairedPeople], dict[str, float]]] = {"pckh": pckh, "hand": hand}
"""Name of each metric to the function that computes its numbers: shares, and pixels for ``EPE``."""
