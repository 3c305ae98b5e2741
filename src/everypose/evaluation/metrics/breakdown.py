"""AP and recall of some of the people: the overlapped, the small, the sparsely labelled.

People outside a class are ignored, neither right nor wrong: their keypoints are hidden, so that COCO's rule for
unlabelled people applies and a detection around their doubled box counts for nothing. Every other false detection
counts in every class, so that AP of a rare class is below AP of all by construction; recall is not touched by that.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.evaluation.coco_arrays import Bools, Floats, Truth
from everypose.evaluation.metrics.oks import Comparison, accumulate, mean_valid, pair_oks

# COCO's area ranges; its ten numbers report the latter two.
SIZES = ((0, 32**2, "small (< 32²)"), (32**2, 96**2, "medium (32² to 96²)"), (96**2, np.inf, "large (> 96²)"))


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class of people; -1 where the class is empty."""

    name: str
    people: int
    ap: float
    ap50: float
    ar: float


def breakdown(comparison: Comparison) -> dict[str, list[ClassScore]]:
    """Scores by occlusion, by size and by number of labelled keypoints."""
    hidden = hidden_oks(comparison)
    kinds = {
        "occlusion (largest box IoU with another person)": occlusion_classes(comparison.truth),
        "size (square pixels)": size_classes(comparison.truth),
        "labelled keypoints": label_classes(comparison.truth),
    }
    return {
        kind: [class_score(comparison, name, members, hidden) for name, members in classes.items()]
        for kind, classes in kinds.items()
    }


def class_score(comparison: Comparison, name: str, members: Bools, hidden: Floats) -> ClassScore:
    """AP, AP50 and AR of the ``members`` (N,) among the people; ``hidden`` is ``hidden_oks(comparison)``."""
    truth = comparison.truth
    hide = (truth.labelled > 0) & ~members
    oks = np.where(hide[comparison.pair_person], hidden, comparison.oks)
    precision, recall = accumulate(comparison, ignored=~truth.counted | hide, oks=oks)
    return ClassScore(
        name=name,
        people=int((members & truth.counted).sum()),
        ap=mean_valid(precision[:, :, :, 0]),
        ap50=mean_valid(precision[0, :, :, 0]),
        ar=mean_valid(recall[:, :, 0]),
    )


def hidden_oks(comparison: Comparison) -> Floats:
    """OKS (P,) of every pair as if the person had no labels."""
    bare = replace(comparison.truth, keypoints=np.zeros_like(comparison.truth.keypoints))
    return pair_oks(bare, comparison.results, comparison.sigmas, comparison.pair_person, comparison.pair_detection)


def largest_overlap(truth: Truth) -> Floats:
    """(N,) the largest IoU of each person's box with any other annotation's box in its image; 0 for the lonely."""
    largest = np.zeros(len(truth.boxes))
    corners = xywh_to_xyxy(truth.boxes)
    order = np.argsort(truth.image, kind="stable")
    starts = np.flatnonzero(np.diff(truth.image[order], prepend=-1))
    for rows in np.split(order, starts[1:]) if order.size else []:
        if len(rows) > 1:
            iou = box_iou(corners[rows], corners[rows])
            np.fill_diagonal(iou, 0)
            largest[rows] = iou.max(axis=1)
    return largest


def occlusion_classes(truth: Truth) -> dict[str, Bools]:
    """Members of 0, 0 to 0.3, 0.3 to 0.5 and above 0.5, by ``largest_overlap``."""
    overlap = largest_overlap(truth)
    return {
        "0": overlap <= 0,
        "0 to 0.3": (overlap > 0) & (overlap <= 0.3),
        "0.3 to 0.5": (overlap > 0.3) & (overlap <= 0.5),
        "above 0.5": overlap > 0.5,
    }


def size_classes(truth: Truth) -> dict[str, Bools]:
    """Members by COCO's area ranges; small people have no range of their own in COCO's ten numbers."""
    return {name: (truth.areas >= low) & (truth.areas < high) for low, high, name in SIZES}


def label_classes(truth: Truth) -> dict[str, Bools]:
    """Members by the number of labelled keypoints: with 17 keypoints 1-5, 6-10, 11-15 and 16-17."""
    count = truth.keypoints.shape[1]
    labels = (truth.keypoints[:, :, 2] > 0).sum(axis=1)
    edges = [0, *sorted({max(1, round(share * count)) for share in (0.3, 0.6, 0.9, 1.0)})]
    return {
        f"{low + 1}" if low + 1 == high else f"{low + 1} to {high}": (labels > low) & (labels <= high)
        for low, high in pairwise(edges)
    }
