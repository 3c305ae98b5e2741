"""The OKS of all detections with all annotated people of their image, in one array computation."""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.evaluation.coco_arrays import GroundTruth, Results

MAX_DETECTIONS = 20
"""The most detections that count in an image and category (COCO's rule)."""
PAIRS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class OksPairs:
    """Detections that are scored and the people of their image and category, with the OKS of each pair.

    At most 20 detections count in each image and category. Rows are ordered by group, a group being one image and
    category; within it detections by falling score, people in file order.

    Attributes:
        ground_truth: the annotated people.
        results: the detections.
        sigmas: (K,) float64.
        people: (N,) int64, rows of ``ground_truth``.
        detections: (M,) int64, rows of ``results``.
        people_start: (groups + 1,) int64, where each group begins in ``people``.
        detections_start: (groups + 1,) int64, where each group begins in ``detections``.
        pairs_start: (groups + 1,) int64, where each group begins in the pairs.
        pair_person: (P,) int64, rows of ``ground_truth``; the pairs of a group come detection by detection.
        pair_detection: (P,) int64, rows of ``results``.
        oks: (P,) float64; with a person without labels, the detection's OKS with the doubled box (COCO's rule).

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person, person | {"id": 2}]}, 1)
    >>> pose = {"image_id": 1, "keypoints": [5, 5, 0.9], "score": 0.9}
    >>> pairs = compute_oks(people, read_results([pose], people), np.array([0.1]))
    >>> pairs.matrix(0, pairs.oks).tolist()  # one detection, two people
    [[1.0, 1.0]]
    """

    ground_truth: GroundTruth
    results: Results
    sigmas: Float64
    people: Int64
    detections: Int64
    people_start: Int64
    detections_start: Int64
    pairs_start: Int64
    pair_person: Int64
    pair_detection: Int64
    oks: Float64

    def matrix(self, group: int, values: Float64) -> Float64:
        """A group's slice of ``values`` (P,) as (detections, people)."""
        shape = (
            self.detections_start[group + 1] - self.detections_start[group],
            self.people_start[group + 1] - self.people_start[group],
        )
        return values[self.pairs_start[group] : self.pairs_start[group + 1]].reshape(shape)


def compute_oks(ground_truth: GroundTruth, results: Results, sigmas: Float64) -> OksPairs:
    """Choose the detections that count and compute their OKS with all people of their image and category.

    Args:
        ground_truth: the annotated people.
        results: the detections.
        sigmas: (K,) float64.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 40, 40], "area": 1600}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> found = read_results([{"image_id": 1, "keypoints": [8, 9, 0.9], "score": 0.9}], people)
    >>> compute_oks(people, found, np.array([0.1])).oks.round(3).tolist()  # 5 pixels away
    [0.823]
    """
    categories = max(len(ground_truth.categories), 1)
    groups = len(ground_truth.image_ids) * categories
    person_group = ground_truth.image * categories + ground_truth.category
    people = np.argsort(person_group, kind="stable")
    detection_group = results.image * categories + results.category
    by_score = np.lexsort((-results.scores, detection_group))
    rank = np.arange(len(by_score)) - np.searchsorted(detection_group[by_score], detection_group[by_score])
    detections = by_score[rank < MAX_DETECTIONS]
    people_start = np.searchsorted(person_group[people], np.arange(groups + 1))
    detections_start = np.searchsorted(detection_group[detections], np.arange(groups + 1))
    people_of_detection = np.diff(people_start)[detection_group[detections]]
    pair_start = np.concatenate([[0], np.cumsum(people_of_detection)])
    within = np.arange(pair_start[-1]) - np.repeat(pair_start[:-1], people_of_detection)
    first_person = people_start[detection_group[detections]]
    pair_person = people[np.repeat(first_person, people_of_detection) + within]
    pair_detection = np.repeat(detections, people_of_detection)
    return OksPairs(
        ground_truth=ground_truth,
        results=results,
        sigmas=sigmas,
        people=people,
        detections=detections,
        people_start=people_start,
        detections_start=detections_start,
        pairs_start=pair_start[detections_start],
        pair_person=pair_person,
        pair_detection=pair_detection,
        oks=pair_oks(ground_truth, results, sigmas, people=pair_person, detections=pair_detection),
    )


def pair_oks(
    ground_truth: GroundTruth, results: Results, sigmas: Float64, *, people: Int64, detections: Int64
) -> Float64:
    """Compute the OKS (P,) of pairs: the mean over labeled keypoints of exp(-d^2 / (2 (2 sigma)^2 area)).

    People without labeled keypoints are compared by the distance to their doubled box, over all keypoints (COCO's
    rule). The order of every operation and sum is pycocotools', so that the results are equal bit for bit.

    Args:
        ground_truth: the annotated people.
        results: the detections.
        sigmas: (K,) float64.
        people: (P,) int64, rows of ``ground_truth``.
        detections: (P,) int64, rows of ``results``.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 40, 40], "area": 1600}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> found = read_results([{"image_id": 1, "keypoints": [8, 9, 0.9], "score": 0.9}], people)
    >>> pair_oks(people, found, np.array([0.1]), people=np.array([0]), detections=np.array([0])).round(3).tolist()
    [0.823]
    """
    labeled = ground_truth.is_labeled
    labeled_first = np.argsort(~labeled, axis=1, kind="stable")
    counts = labeled.sum(axis=1)
    oks = np.zeros(len(people))
    for count in np.unique(counts[people]):
        rows = np.flatnonzero(counts[people] == count)
        for begin in range(0, len(rows), PAIRS_AT_ONCE):
            part = rows[begin : begin + PAIRS_AT_ONCE]
            person, detection = people[part], detections[part]
            if count:
                chosen = labeled_first[person, :count]
                annotated = ground_truth.keypoints[person[:, None], chosen]
                distance = results.keypoints[detection[:, None], chosen, :2] - annotated[:, :, :2]
                variance = ((sigmas * 2) ** 2)[chosen]
            else:
                distance = outside_box(results.keypoints[detection, :, :2], ground_truth.boxes[person])
                variance = ((sigmas * 2) ** 2)[None]
            with np.errstate(over="ignore"):
                squared = distance[:, :, 0] ** 2 + distance[:, :, 1] ** 2
                exponent = squared / variance / (ground_truth.areas[person, None] + np.spacing(1)) / 2
            oks[part] = np.exp(-exponent).sum(axis=1) / exponent.shape[1]
    return oks


def outside_box(points: Float64, boxes: Float64) -> Float64:
    """Distance of points outside boxes that are doubled around their center; 0 inside.

    Args:
        points: (P, K, 2) image pixels.
        boxes: (P, 4) x, y, width, height.

    Returns:
        (P, K, 2) distances in x and y.

    >>> outside_box(np.array([[[25.0, 5.0]]]), np.array([[0.0, 0.0, 10.0, 10.0]])).tolist()
    [[[5.0, 0.0]]]
    """
    low = boxes[:, None, :2] - boxes[:, None, 2:]
    high = boxes[:, None, :2] + boxes[:, None, 2:] * 2
    return np.maximum(0, low - points) + np.maximum(0, points - high)
