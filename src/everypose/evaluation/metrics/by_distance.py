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
    """
    sides = tight_sides(people.annotated, people.labeled)
    return score_hands(people.predicted, people.annotated, labeled=people.labeled, sides=sides).numbers()


DISTANCE_METRICS: Mapping[Metric, Callable[[PairedPeople], dict[str, float]]] = {"pckh": pckh, "hand": hand}
"""Name of each metric to the function that computes its numbers: shares, and pixels for ``EPE``."""
