"""Scores by distance: PCKh (MPII), and PCK, AUC and end-point error (InterHand2.6M).

All of them score one prediction for each annotated person or hand, in pixels of the image.
"""

from dataclasses import dataclass

import numpy as np

from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import Bools, Floats, Ints

HEAD_SIZE_OF_DIAGONAL = 0.6
# Pelvis and thorax, which MPII's evaluation leaves out.
MPII_LEFT_OUT = (6, 7)
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
        pckh50, pckh10: correct keypoints at 0.5 and 0.1 of the head size, weighted by each keypoint's count.
        by_keypoint: (16,) at 0.5; NaN where a keypoint is never labelled.
        groups: at 0.5, the mean of left and right, as MPII's table.
        people: how many were scored.
    """

    pckh50: float
    pckh10: float
    by_keypoint: Floats
    groups: dict[str, float]
    people: int

    def numbers(self) -> dict[str, float]:
        """The scores by the names of MPII's table."""
        return {"PCKh@0.5": self.pckh50, "PCKh@0.1": self.pckh10} | {f"PCKh {k}": v for k, v in self.groups.items()}


@dataclass(frozen=True)
class HandScores:
    """InterHand2.6M's 2D scores: PCK@0.2 and AUC as shares, EPE in pixels."""

    pck: float
    auc: float
    epe: float
    people: int

    def numbers(self) -> dict[str, float]:
        """The scores by their usual names; EPE is in pixels, not a share."""
        return {"PCK@0.2": self.pck, "AUC": self.auc, "EPE": self.epe}


def head_sizes(head_boxes: Floats) -> Floats:
    """(N,) MPII's head size, 0.6 x the diagonal of the head box (N, 4: x1, y1, x2, y2)."""
    diagonal = head_boxes[:, 2:] - head_boxes[:, :2]
    return HEAD_SIZE_OF_DIAGONAL * np.hypot(diagonal[:, 0], diagonal[:, 1])


def pckh(predicted: Floats, true: Floats, visible: Bools, sizes: Floats) -> PckhScores:
    """MPII's PCKh (Andriluka et al., CVPR 2014).

    Args:
        predicted: (N, 16, 2).
        true: (N, 16, 2) in the same pixel convention (MPII's own files count from 1).
        visible: (N, 16) labelled keypoints.
        sizes: (N,) head sizes, see ``head_sizes``.

    Raises:
        EveryposeError: when nobody is labelled or a head size is not positive.
    """
    _same_people(predicted, true, visible)
    if not (sizes > 0).all():
        raise EveryposeError(f"person {int(np.flatnonzero(~(sizes > 0))[0])} has no head size, which PCKh needs")
    distance = np.linalg.norm(predicted - true, axis=2) / sizes[:, None]
    count = visible.sum(axis=0)
    scored = np.ones(visible.shape[1], bool)
    scored[list(MPII_LEFT_OUT)] = False
    if not count[scored].any():
        raise EveryposeError("the truth has no labelled keypoint that PCKh counts: nothing to measure")

    def right(threshold: float) -> Ints:
        counts: Ints = ((distance <= threshold) & visible).sum(axis=0)
        return counts

    at_half = np.divide(right(0.5), count, out=np.full(len(count), np.nan), where=count > 0)
    groups = {name: float(np.mean(at_half[list(keypoints)])) for name, keypoints in MPII_GROUPS.items()}
    total = count[scored].sum()
    return PckhScores(
        pckh50=float(right(0.5)[scored].sum() / total),
        pckh10=float(right(0.1)[scored].sum() / total),
        by_keypoint=at_half,
        groups=groups,
        people=len(true),
    )


def tight_sides(true: Floats, visible: Bools) -> Floats:
    """(N,) the longer side of the tight box around each hand's labelled keypoints, in pixels; 0 without any."""
    low = np.where(visible[:, :, None], true, np.inf).min(axis=1)
    high = np.where(visible[:, :, None], true, -np.inf).max(axis=1)
    return np.where(visible.any(axis=1), (high - low).max(axis=1), 0.0)


def hand_scores(predicted: Floats, true: Floats, visible: Bools, sides: Floats) -> HandScores:
    """InterHand2.6M's PCK, AUC and end-point error of 2D hands.

    PCK counts distances below 0.2 x ``sides``; AUC is the mean share of distances below 0, 1.5, ... 28.5 pixels. Both
    average over hands for each keypoint, then over keypoints; EPE averages over all labelled keypoints.

    Args:
        predicted: (N, K, 2).
        true: (N, K, 2).
        visible: (N, K) labelled keypoints.
        sides: (N,) the longer side of each hand's box, see ``tight_sides``; without extent a hand is not in PCK.

    Raises:
        EveryposeError: when nothing is labelled.
    """
    _same_people(predicted, true, visible)
    if not visible.any():
        raise EveryposeError("the truth has no labelled keypoint: nothing to measure")
    distance = np.linalg.norm(predicted - true, axis=2)
    measurable = visible & (sides > 0)[:, None]
    relative = np.divide(distance, sides[:, None], out=np.full_like(distance, np.inf), where=measurable)
    curve = [_mean_by_keypoint(distance / AUC_PIXELS < step / AUC_STEPS, visible) for step in range(AUC_STEPS)]
    return HandScores(
        pck=_mean_by_keypoint(relative < PCK_THRESHOLD, measurable),
        auc=float(np.mean(curve)),
        epe=float(distance[visible].mean()),
        people=int(visible.any(axis=1).sum()),
    )


def _mean_by_keypoint(right: Bools, visible: Bools) -> float:
    """The share of right keypoints: over people for each keypoint, then over the keypoints that occur."""
    count = visible.sum(axis=0)
    if not count.any():
        return -1.0
    return float(np.mean((right & visible).sum(axis=0)[count > 0] / count[count > 0]))


def _same_people(predicted: Floats, true: Floats, visible: Bools) -> None:
    if predicted.shape != true.shape or visible.shape != true.shape[:2]:
        raise EveryposeError(
            f"predictions {predicted.shape}, truth {true.shape} and labels {visible.shape} differ in shape"
        )
    if not np.isfinite(predicted).all():
        raise EveryposeError(
            f"prediction {int(np.argwhere(~np.isfinite(predicted))[0][0])} has keypoints that are not finite"
        )
