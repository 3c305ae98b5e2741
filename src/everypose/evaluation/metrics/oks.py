"""OKS average precision and recall: COCO's ten numbers, CrowdPose's nine.

The OKS of all detections with all people of their image is one array computation here; matching and accumulation are
faster-coco-eval's. The ten numbers equal pycocotools' (Lin et al., https://cocodataset.org/#keypoints-eval).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from faster_coco_eval import COCOeval_faster

from everypose.core.arrays import Float64, Int64, Mask
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import GroundTruth, Results, read_ground_truth, read_results
from everypose.evaluation.coco_schema import JsonObject

if TYPE_CHECKING:
    from rich.table import Table

    from everypose.skeleton.skeleton import Skeleton

OksProtocol = Literal["coco", "crowdpose"]
MAX_DETECTIONS = 20
# CrowdPose's published tool splits at these crowd indices, although its paper says 0.1 and 0.8.
EASY_BELOW, MEDIUM_BELOW = 0.2, 0.8
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


@dataclass(frozen=True)
class OksScores:
    """Average precision and recall over OKS .50:.05:.95; -1 without people to find, as pycocotools.

    Attributes:
        ap: average precision.
        ap50: at OKS .50.
        ap75: at OKS .75.
        ap_medium: of people with an area of 32² to 96² pixels.
        ap_large: of people with a larger area.
        ar: average recall.
        ar50: at OKS .50.
        ar75: at OKS .75.
        ar_medium: of people with an area of 32² to 96² pixels.
        ar_large: of people with a larger area.
        protocol: whose protocol.
        images: how many were scored.
        people: how many were to be found.
        detections: how many were scored.
        area_source: where the people's areas come from, in words.
        ap_easy: of images with a crowd index below 0.2; None with the COCO protocol.
        ap_medium_crowd: of images with a crowd index of 0.2 to 0.8; None with the COCO protocol.
        ap_hard: of images with a crowd index of 0.8 or more; None with the COCO protocol.
        by_category: AP by category name, if there are several categories.
        precision: (10, 101) float64, interpolated precision by OKS threshold and recall, averaged over categories.
        notes: what a reader of the scores must know about the files.

    >>> scores = OksScores(
    ...     0.7, 0.9, 0.8, 0.65, 0.75, 0.75, 0.92, 0.82, 0.7, 0.8, protocol="coco", images=10, people=30, detections=40,
    ...     area_source="annotation",
    ... )
    >>> list(scores.numbers())
    ['AP', 'AP50', 'AP75', 'AP_M', 'AP_L', 'AR', 'AR50', 'AR75', 'AR_M', 'AR_L']
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    ar50: float
    ar75: float
    ar_medium: float
    ar_large: float
    protocol: OksProtocol
    images: int
    people: int
    detections: int
    area_source: str
    ap_easy: float | None = None
    ap_medium_crowd: float | None = None
    ap_hard: float | None = None
    by_category: dict[str, float] = field(default_factory=dict)
    precision: Float64 = field(default_factory=lambda: np.zeros((10, 101)), repr=False)
    notes: list[str] = field(default_factory=list)

    def numbers(self) -> dict[str, float]:
        """The protocol's numbers by the names that its published tool prints, in that tool's order."""
        overall = {"AP": self.ap, "AP50": self.ap50, "AP75": self.ap75}
        recall = {"AR": self.ar, "AR50": self.ar50, "AR75": self.ar75}
        if self.ap_easy is not None and self.ap_medium_crowd is not None and self.ap_hard is not None:
            split = {"AP easy": self.ap_easy, "AP medium": self.ap_medium_crowd, "AP hard": self.ap_hard}
            return overall | recall | split
        sizes = {"AP_M": self.ap_medium, "AP_L": self.ap_large}
        return overall | sizes | recall | {"AR_M": self.ar_medium, "AR_L": self.ar_large}

    def table(self) -> "Table":
        """The numbers as a rich table, in percent."""
        from everypose.evaluation.report.tables import numbers_table

        return numbers_table(f"OKS, {self.protocol} protocol", {"": self.numbers()})


def evaluate_oks(
    annotations: JsonObject, results: Sequence[JsonObject], skeleton: "Skeleton", *, protocol: OksProtocol = "coco"
) -> OksScores:
    """Score a COCO results list against a COCO-format annotation file, both as parsed JSON.

    Args:
        annotations: content of the annotation file.
        results: ``[{image_id, category_id, keypoints, score}, ...]``, see ``read_results``.
        skeleton: gives K and the sigmas.
        protocol: "crowdpose" takes 0.53 x box as area and splits by the images' ``crowdIndex``.

    Raises:
        EveryposeError: if the files cannot be scored; the message names the first bad entry.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> pose = [value for k in range(17) for value in (10.0 * k, 5.0 * k, 2)]
    >>> person = {"id": 1, "image_id": 1, "keypoints": pose, "bbox": [0, 0, 170, 90], "area": 9000.0}
    >>> detection = {"image_id": 1, "keypoints": pose, "score": 0.9}
    >>> scores = evaluate_oks({"images": [{"id": 1}], "annotations": [person]}, [detection], Skeleton.named("coco"))
    >>> round(scores.ap, 3), round(scores.ar, 3)
    (1.0, 1.0)
    """
    sigmas = skeleton.require_sigmas()
    ground_truth = read_ground_truth(annotations, len(skeleton))
    if protocol == "crowdpose":
        ground_truth = ground_truth.with_box_areas()
    return score_oks(compute_oks(ground_truth, read_results(results, ground_truth), sigmas), protocol)


def score_oks(pairs: OksPairs, protocol: OksProtocol = "coco") -> OksScores:
    """Compute COCO's ten numbers, with CrowdPose's split by crowd index for that protocol.

    Raises:
        EveryposeError: if there are no people to find, or ``crowdIndex`` is missing for the CrowdPose protocol.

    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 40, 40], "area": 1600}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> poses = [{"image_id": 1, "keypoints": [x, 5, 0.9], "score": score} for x, score in ((5, 0.5), (90, 0.9))]
    >>> pairs = compute_oks(people, read_results(poses, people), np.array([0.1]))
    >>> round(score_oks(pairs).ap, 3)  # the person is found, after a false detection with a higher score
    0.5
    """
    ground_truth = pairs.ground_truth
    if not ground_truth.is_scored.any():
        raise EveryposeError("the ground truth has no person with labeled keypoints: nothing to measure")
    precision, recall = precision_and_recall(pairs)
    names = ("ap_easy", "ap_medium_crowd", "ap_hard")
    split = dict(zip(names, _by_crowd_index(pairs), strict=True)) if protocol == "crowdpose" else {}
    with_people = np.unique(ground_truth.category[ground_truth.is_scored]).tolist()
    by_category = {ground_truth.categories[c][1]: mean_valid(precision[:, :, c, 0]) for c in with_people}
    valid = precision[:, :, :, 0] > -1
    averaged = np.where(valid, precision[:, :, :, 0], 0).sum(axis=2)
    return OksScores(
        ap=mean_valid(precision[:, :, :, 0]),
        ap50=mean_valid(precision[0, :, :, 0]),
        ap75=mean_valid(precision[5, :, :, 0]),
        ap_medium=mean_valid(precision[:, :, :, 1]),
        ap_large=mean_valid(precision[:, :, :, 2]),
        ar=mean_valid(recall[:, :, 0]),
        ar50=mean_valid(recall[0, :, 0]),
        ar75=mean_valid(recall[5, :, 0]),
        ar_medium=mean_valid(recall[:, :, 1]),
        ar_large=mean_valid(recall[:, :, 2]),
        protocol=protocol,
        images=len(ground_truth.image_ids),
        people=int(ground_truth.is_scored.sum()),
        detections=len(pairs.results.scores),
        area_source=ground_truth.area_source,
        by_category=by_category if len(ground_truth.categories) > 1 else {},
        precision=averaged / np.maximum(valid.sum(axis=2), 1),
        notes=ground_truth.notes + pairs.results.notes,
        **split,
    )


def mean_valid(values: Float64) -> float:
    """Mean of the values above -1; -1, pycocotools' mark for "no people to find", if there are none.

    >>> mean_valid(np.array([0.5, 1.0, -1.0])), mean_valid(np.array([-1.0]))
    (0.75, -1.0)
    """
    valid = values[values > -1]
    return float(np.mean(valid)) if valid.size else -1.0


def _by_crowd_index(pairs: OksPairs) -> list[float]:
    """AP of easy, medium and hard images, as CrowdPose's tool: a mean without filtering -1, rounded to 4 digits."""
    index = pairs.ground_truth.crowd_index
    if np.isnan(index).any():
        raise EveryposeError(
            "the CrowdPose protocol needs 'crowdIndex' for every image of the annotation file; score it as coco instead"
        )
    level = (index >= EASY_BELOW).astype(np.int64) + (index >= MEDIUM_BELOW)
    parts = [np.flatnonzero(level == wanted) for wanted in range(3)]
    return [round(float(np.mean(precision_and_recall(pairs, images=part)[0][:, :, :, 0])), 4) for part in parts]


def compute_oks(ground_truth: GroundTruth, results: Results, sigmas: Float64) -> OksPairs:
    """Choose the detections that count and compute their OKS with all people of their image and category.

    Args:
        ground_truth: the annotated people.
        results: the detections.
        sigmas: (K,) float64.

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


def precision_and_recall(
    pairs: OksPairs, *, ignored: Mask | None = None, oks: Float64 | None = None, images: Int64 | None = None
) -> tuple[Float64, Float64]:
    """Compute precision and recall by OKS threshold with faster-coco-eval.

    Args:
        pairs: see ``compute_oks``.
        ignored: (N,) bool, people that need not be found; default: unlabeled ones and crowd regions.
        oks: (P,) float64, replaces the pairs' OKS.
        images: indices of the images to score; default: all.

    Returns:
        Precision (10, 101, categories, 3 areas) and recall (10, categories, 3 areas); -1 without people to find.

    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 40, 40], "area": 1600}
    >>> people = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> found = read_results([{"image_id": 1, "keypoints": [8, 9, 0.9], "score": 0.9}], people)
    >>> precision, recall = precision_and_recall(compute_oks(people, found, np.array([0.1])))
    >>> recall[:, 0, 0].tolist()  # an OKS of 0.823 passes the thresholds .50 to .80
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    scorer = _ArrayScorer(
        pairs,
        ~pairs.ground_truth.is_scored if ignored is None else ignored,
        pairs.oks if oks is None else oks,
        images=images,
    )
    scorer.evaluate()
    scorer.accumulate()
    return scorer.eval["precision"][..., 0], scorer.eval["recall"][..., 0]


class _ArrayScorer(COCOeval_faster):  # type: ignore[misc]
    """faster-coco-eval fed from arrays: its matching and accumulation without its loading and its OKS loop."""

    def __init__(self, pairs: OksPairs, ignored: Mask, oks: Float64, *, images: Int64 | None) -> None:
        super().__init__(iouType="keypoints", kpt_oks_sigmas=pairs.sigmas.tolist(), print_function=_silent)
        self._pairs = pairs
        self._ignored = ignored
        self._oks = oks
        self.params.imgIds = list(range(len(pairs.ground_truth.image_ids))) if images is None else images.tolist()
        self.params.catIds = list(range(len(pairs.ground_truth.categories)))

    def _prepare(self) -> None:
        pairs, ground_truth, results = self._pairs, self._pairs.ground_truth, self._pairs.results
        self.gt_dataset.clean()
        self.dt_dataset.clean()
        # Ids start at 1: the scorer marks "unmatched" with 0.
        for row in pairs.people.tolist():
            person = {
                "id": row + 1,
                "area": float(ground_truth.areas[row]),
                "iscrowd": int(ground_truth.is_crowd[row]),
                "ignore": int(self._ignored[row]),
            }
            self.gt_dataset.append(int(ground_truth.image[row]), int(ground_truth.category[row]), person)
        for row in pairs.detections.tolist():
            detection = {"id": row + 1, "area": float(results.areas[row]), "score": float(results.scores[row])}
            self.dt_dataset.append(int(results.image[row]), int(results.category[row]), detection)

    def computeOks(self, image: int, category: int) -> list[list[float]]:  # noqa: N802
        """The (detections, people) OKS of one image and category, under faster-coco-eval's name and in its form."""
        group = int(image) * len(self._pairs.ground_truth.categories) + int(category)
        matrix: list[list[float]] = self._pairs.matrix(group, self._oks).tolist()
        return matrix if matrix and matrix[0] else []


def _silent(*_: object) -> None:
    """Discard faster-coco-eval's progress output."""
