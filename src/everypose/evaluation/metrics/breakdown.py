"""AP and AR of some of the people: the occluded, the small, the sparsely labeled.

People outside a class are ignored: their keypoints are hidden, so that COCO's rule for unlabeled people applies and a
detection within their doubled box is neither right nor wrong. Every other false detection counts in every class, so
AP of a rare class is below AP of all people by construction. AR is not affected by that.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.evaluation.coco_arrays import GroundTruth
from everypose.evaluation.metrics.average_precision import mean_valid
from everypose.evaluation.metrics.oks import OksPairs, pair_oks
from everypose.evaluation.metrics.precision_recall import precision_and_recall

# COCO's area ranges; its ten numbers report the latter two.
SIZES = ((0, 32**2, "small (< 32²)"), (32**2, 96**2, "medium (32² to 96²)"), (96**2, np.inf, "large (> 96²)"))


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class of people; -1 where the class is empty.

    Attributes:
        name: the class.
        people: how many people it has.
        ap: average precision over OKS .50:.05:.95.
        ap50: average precision at OKS .50.
        ar: average recall over OKS .50:.05:.95.

    >>> ClassScore("above 0.5", people=174, ap=0.31, ap50=0.62, ar=0.42).people
    174
    """

    name: str
    people: int
    ap: float
    ap50: float
    ar: float


def breakdown(pairs: OksPairs) -> dict[str, list[ClassScore]]:
    """Compute scores by occlusion, by size and by number of labeled keypoints.

    Args:
        pairs: see ``compute_oks``.

    Returns:
        Kind of class to the scores of its classes.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> pose = [value for k in range(17) for value in (10.0 * k, 5.0 * k, 2)]
    >>> person = {"id": 1, "image_id": 1, "keypoints": pose, "bbox": [0, 0, 170, 90], "area": 9000.0}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 17)
    >>> found = read_results([{"image_id": 1, "keypoints": pose, "score": 0.9}], people)
    >>> by_class = breakdown(compute_oks(people, found, np.full(17, 0.05)))
    >>> [(one.name, one.people, round(one.ap, 2)) for one in by_class["labeled keypoints"]]
    [('1 to 5', 0, -1.0), ('6 to 10', 0, -1.0), ('11 to 15', 0, -1.0), ('16 to 17', 1, 1.0)]
    """
    hidden = hidden_oks(pairs)
    kinds = {
        "occlusion (largest box IoU with another person)": occlusion_classes(pairs.ground_truth),
        "size (square pixels)": size_classes(pairs.ground_truth),
        # The name is that of saved records.
        "labeled keypoints": label_classes(pairs.ground_truth),
    }
    return {
        kind: [class_score(pairs, name, members, hidden=hidden) for name, members in classes.items()]
        for kind, classes in kinds.items()
    }


def class_score(pairs: OksPairs, name: str, members: Mask, *, hidden: Float64) -> ClassScore:
    """Compute AP, AP50 and AR of one class of people.

    Args:
        pairs: see ``compute_oks``.
        name: of the class.
        members: (N,) bool, the annotated people in the class.
        hidden: ``hidden_oks(pairs)``.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> pose = [value for k in range(17) for value in (10.0 * k, 5.0 * k, 2)]
    >>> person = {"id": 1, "image_id": 1, "keypoints": pose, "bbox": [0, 0, 170, 90], "area": 9000.0}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 17)
    >>> found = read_results([{"image_id": 1, "keypoints": pose, "score": 0.9}], people)
    >>> pairs = compute_oks(people, found, np.full(17, 0.05))
    >>> score = class_score(pairs, "everyone", np.array([True]), hidden=hidden_oks(pairs))
    >>> score.people, round(score.ap, 2)
    (1, 1.0)
    """
    people = pairs.ground_truth
    hide = (people.num_keypoints > 0) & ~members
    oks = np.where(hide[pairs.pair_person], hidden, pairs.oks)
    precision, recall = precision_and_recall(pairs, ignored=~people.is_scored | hide, oks=oks)
    return ClassScore(
        name=name,
        people=int((members & people.is_scored).sum()),
        ap=mean_valid(precision[:, :, :, 0]),
        ap50=mean_valid(precision[0, :, :, 0]),
        ar=mean_valid(recall[:, :, 0]),
    )


def hidden_oks(pairs: OksPairs) -> Float64:
    """OKS (P,) of every pair as if the person had no labeled keypoints.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> found = read_results([{"image_id": 1, "keypoints": [9, 9, 0.9], "score": 0.9}], people)
    >>> pairs = compute_oks(people, found, np.array([0.05]))
    >>> hidden_oks(pairs).tolist()  # inside the box; without labels there is no distance
    [1.0]
    """
    unlabeled = replace(pairs.ground_truth, keypoints=np.zeros_like(pairs.ground_truth.keypoints))
    return pair_oks(unlabeled, pairs.results, pairs.sigmas, people=pairs.pair_person, detections=pairs.pair_detection)


def largest_overlap(ground_truth: GroundTruth) -> Float64:
    """Compute each person's occlusion: the largest IoU of their box with another annotation's box in the image.

    Returns:
        (N,) float64; 0 where the image has no other annotation.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> boxes = ([0, 0, 10, 10], [0, 5, 10, 10], [50, 50, 10, 10])
    >>> people = [{"id": i, "image_id": 1, "keypoints": [5, 5, 2], "bbox": box} for i, box in enumerate(boxes)]
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": people}, 1)
    >>> largest_overlap(ground_truth).round(2).tolist()
    [0.33, 0.33, 0.0]
    """
    largest = np.zeros(len(ground_truth.boxes))
    corners = xywh_to_xyxy(ground_truth.boxes)
    order = np.argsort(ground_truth.image, kind="stable")
    starts = np.flatnonzero(np.diff(ground_truth.image[order], prepend=-1))
    for rows in np.split(order, starts[1:]) if order.size else []:
        if len(rows) > 1:
            iou = box_iou(corners[rows], corners[rows])
            np.fill_diagonal(iou, 0)
            largest[rows] = iou.max(axis=1)
    return largest


def occlusion_classes(ground_truth: GroundTruth) -> dict[str, Mask]:
    """Members (N,) of the classes 0, 0 to 0.3, 0.3 to 0.5 and above 0.5, by ``largest_overlap``.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> boxes = ([0, 0, 10, 10], [0, 5, 10, 10], [50, 50, 10, 10])
    >>> people = [{"id": i, "image_id": 1, "keypoints": [5, 5, 2], "bbox": box} for i, box in enumerate(boxes)]
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": people}, 1)
    >>> {name: int(members.sum()) for name, members in occlusion_classes(ground_truth).items()}
    {'0': 1, '0 to 0.3': 0, '0.3 to 0.5': 2, 'above 0.5': 0}
    """
    overlap = largest_overlap(ground_truth)
    return {
        "0": overlap <= 0,
        "0 to 0.3": (overlap > 0) & (overlap <= 0.3),
        "0.3 to 0.5": (overlap > 0.3) & (overlap <= 0.5),
        "above 0.5": overlap > 0.5,
    }


def size_classes(ground_truth: GroundTruth) -> dict[str, Mask]:
    """Members (N,) of COCO's area ranges; COCO's ten numbers do not include the small people.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 50, 90], "area": 2000.0}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> [name for name, members in size_classes(ground_truth).items() if members[0]]
    ['medium (32² to 96²)']
    """
    return {name: (ground_truth.areas >= low) & (ground_truth.areas < high) for low, high, name in SIZES}


def label_classes(ground_truth: GroundTruth) -> dict[str, Mask]:
    """Members (N,) by number of labeled keypoints: of 17 keypoints 1-5, 6-10, 11-15 and 16-17.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2] * 7 + [0, 0, 0] * 10, "bbox": [0, 0, 50, 90]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 17)
    >>> [name for name, members in label_classes(ground_truth).items() if members[0]]
    ['6 to 10']
    """
    count = ground_truth.keypoints.shape[1]
    labels = ground_truth.is_labeled.sum(axis=1)
    edges = [0, *sorted({max(1, round(share * count)) for share in (0.3, 0.6, 0.9, 1.0)})]
    return {
        f"{low + 1}" if low + 1 == high else f"{low + 1} to {high}": (labels > low) & (labels <= high)
        for low, high in pairwise(edges)
    }
