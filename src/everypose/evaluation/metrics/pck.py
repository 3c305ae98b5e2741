"""Metrics by distance: PCKh (MPII), and PCK, AUC and end-point error (InterHand2.6M).

All of them score one prediction for each annotated person or hand, in image pixels.
"""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.errors import EveryposeError

# Pelvis and thorax, which MPII's evaluation does not count.
MPII_NOT_SCORED = (6, 7)
MPII_GROUPS = {
    "head": (9,),
    "shoulder": (12, 13),
    "elbow": (11, 14),
    "wrist": (10, 15),
    "hip": (2, 3),
    "knee": (1, 4),
    "ankle": (0, 5),
}
PCK_THRESHOLD = 0.2
AUC_PIXELS = 30.0
AUC_STEPS = 20


@dataclass(frozen=True)
class PckhScores:
    """MPII's scores, as shares.

    Attributes:
        pckh50: correct keypoints within 0.5 of the head size, weighted by each keypoint's count.
        pckh10: correct keypoints within 0.1 of the head size.
        by_keypoint: (16,) float64, within 0.5; NaN where a keypoint is never labeled.
        groups: within 0.5, the mean of left and right, as in MPII's table.
        people: how many were scored.

    >>> scores = PckhScores(0.9, 0.3, np.full(16, 0.9), {"head": 0.97}, people=10)
    >>> scores.numbers()
    {'PCKh@0.5': 0.9, 'PCKh@0.1': 0.3, 'PCKh head': 0.97}
    """

    pckh50: float
    pckh10: float
    by_keypoint: Float64
    groups: dict[str, float]
    people: int

    def numbers(self) -> dict[str, float]:
        """The scores by the names of MPII's table."""
        return {"PCKh@0.5": self.pckh50, "PCKh@0.1": self.pckh10} | {f"PCKh {k}": v for k, v in self.groups.items()}


@dataclass(frozen=True)
class HandScores:
    """InterHand2.6M's 2D scores.

    Attributes:
        pck: PCK@0.2, a share.
        auc: area under the PCK curve, a share.
        epe: end-point error in pixels.
        people: how many hands were scored.

    >>> HandScores(pck=0.9, auc=0.8, epe=4.2, people=10).numbers()
    {'PCK@0.2': 0.9, 'AUC': 0.8, 'EPE': 4.2}
    """

    pck: float
    auc: float
    epe: float
    people: int

    def numbers(self) -> dict[str, float]:
        """The scores by their usual names; EPE is in pixels, not a share."""
        return {"PCK@0.2": self.pck, "AUC": self.auc, "EPE": self.epe}


def score_pckh(predicted: Float64, annotated: Float64, *, labeled: Mask, head_sizes: Float64) -> PckhScores:
    """Compute MPII's PCKh (Andriluka et al., CVPR 2014).

    Args:
        predicted: (N, 16, 2) image pixels.
        annotated: (N, 16, 2) in the same pixel convention (MPII's own files count from 1).
        labeled: (N, 16) bool, keypoints that are annotated.
        head_sizes: (N,) pixels, see ``everypose.evaluation.head_sizes``.

    Raises:
        EveryposeError: if no keypoint is labeled or a head size is not positive.

    >>> pose = np.zeros((1, 16, 2))
    >>> scores = score_pckh(pose + 3.0, pose, labeled=np.ones((1, 16), bool), head_sizes=np.array([10.0]))
    >>> scores.pckh50, scores.pckh10
    (1.0, 0.0)
    """
    _require_same_shapes(predicted, annotated, labeled)
    if not (head_sizes > 0).all():
        raise EveryposeError(f"person {int(np.flatnonzero(~(head_sizes > 0))[0])} has no head size, which PCKh needs")
    distance = np.linalg.norm(predicted - annotated, axis=2) / head_sizes[:, None]
    count = labeled.sum(axis=0)
    scored = np.ones(labeled.shape[1], bool)
    scored[list(MPII_NOT_SCORED)] = False
    if not count[scored].any():
        raise EveryposeError("the ground truth has no labeled keypoint that PCKh counts: nothing to measure")

    def correct(threshold: float) -> Int64:
        counts: Int64 = ((distance <= threshold) & labeled).sum(axis=0)
        return counts

    at_half = np.divide(correct(0.5), count, out=np.full(len(count), np.nan), where=count > 0)
    groups = {name: float(np.mean(at_half[list(keypoints)])) for name, keypoints in MPII_GROUPS.items()}
    total = count[scored].sum()
    return PckhScores(
        pckh50=float(correct(0.5)[scored].sum() / total),
        pckh10=float(correct(0.1)[scored].sum() / total),
        by_keypoint=at_half,
        groups=groups,
        people=len(annotated),
    )


def tight_sides(annotated: Float64, labeled: Mask) -> Float64:
    """Longer side (N,) of the tight box around each hand's labeled keypoints, in pixels; 0 without any.

    Args:
        annotated: (N, K, 2) image pixels.
        labeled: (N, K) bool.

    >>> tight_sides(np.array([[[0.0, 0], [30, 40], [500, 0]]]), np.array([[True, True, False]])).tolist()
    [40.0]
    """
    low = np.where(labeled[:, :, None], annotated, np.inf).min(axis=1)
    high = np.where(labeled[:, :, None], annotated, -np.inf).max(axis=1)
    return np.where(labeled.any(axis=1), (high - low).max(axis=1), 0.0)


def score_hands(predicted: Float64, annotated: Float64, *, labeled: Mask, sides: Float64) -> HandScores:
    """Compute InterHand2.6M's PCK, AUC and end-point error of 2D hands.

    PCK counts distances below 0.2 x ``sides``. AUC is the mean share of distances below 0, 1.5, ... 28.5 pixels. Both
    average over hands for each keypoint, then over keypoints. EPE averages over all labeled keypoints.

    Args:
        predicted: (N, K, 2) image pixels.
        annotated: (N, K, 2) image pixels.
        labeled: (N, K) bool, keypoints that are annotated.
        sides: (N,) pixels, see ``tight_sides``; hands with side 0 are not in PCK.

    Raises:
        EveryposeError: if no keypoint is labeled.

    >>> pose = np.array([[[0.0, 0.0], [40.0, 0.0]]])
    >>> score_hands(pose + [0.0, 3.0], pose, labeled=np.ones((1, 2), bool), sides=np.array([40.0])).numbers()
    {'PCK@0.2': 1.0, 'AUC': 0.85, 'EPE': 3.0}
    """
    _require_same_shapes(predicted, annotated, labeled)
    if not labeled.any():
        raise EveryposeError("the ground truth has no labeled keypoint: nothing to measure")
    distance = np.linalg.norm(predicted - annotated, axis=2)
    measurable = labeled & (sides > 0)[:, None]
    relative = np.divide(distance, sides[:, None], out=np.full_like(distance, np.inf), where=measurable)
    curve = [_mean_by_keypoint(distance / AUC_PIXELS < step / AUC_STEPS, labeled) for step in range(AUC_STEPS)]
    return HandScores(
        pck=_mean_by_keypoint(relative < PCK_THRESHOLD, measurable),
        auc=float(np.mean(curve)),
        epe=float(distance[labeled].mean()),
        people=int(labeled.any(axis=1).sum()),
    )


def _mean_by_keypoint(correct: Mask, labeled: Mask) -> float:
    """Share of correct keypoints: over people for each keypoint, then over the keypoints that occur."""
    count = labeled.sum(axis=0)
    if not count.any():
        return -1.0
    return float(np.mean((correct & labeled).sum(axis=0)[count > 0] / count[count > 0]))


def _require_same_shapes(predicted: Float64, annotated: Float64, labeled: Mask) -> None:
    if predicted.shape != annotated.shape or labeled.shape != annotated.shape[:2]:
        raise EveryposeError(
            f"predictions {predicted.shape}, ground truth {annotated.shape} and labels {labeled.shape} differ in shape"
        )
    if not np.isfinite(predicted).all():
        raise EveryposeError(
            f"prediction {int(np.argwhere(~np.isfinite(predicted))[0][0])} has keypoints that are not finite"
        )
