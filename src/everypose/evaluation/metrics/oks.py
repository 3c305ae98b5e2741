"""OKS average precision and recall: COCO's ten numbers, CrowdPose's nine.

OKS of all detections with all people of their image is one array computation here; matching and accumulation are
faster-coco-eval's. The ten numbers equal pycocotools' (Lin et al., https://cocodataset.org/#keypoints-eval).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from faster_coco_eval import COCOeval_faster

from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import Bools, Floats, Ints, Results, Truth, read_results, read_truth

if TYPE_CHECKING:
    from rich.table import Table

    from everypose.skeleton.skeleton import Skeleton

Protocol = Literal["coco", "crowdpose"]
MAX_DETECTIONS = 20
# CrowdPose's published tool splits at these crowd indices, although its paper says 0.1 and 0.8.
EASY_BELOW, MEDIUM_BELOW = 0.2, 0.8
PAIRS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Comparison:
    """The detections that count (the best 20 of an image and category) beside the people of their image and category.

    Rows come group by group, a group being one image and category; detections by falling score, people in file order.

    Attributes:
        truth, results: what is compared.
        sigmas: (K,).
        people: (N,) rows of ``truth``.
        detections: (M,) rows of ``results``.
        people_start, detections_start, pairs_start: (groups + 1,) where each group begins.
        pair_person, pair_detection: (P,) rows of ``truth`` and ``results``; a group's pairs, detection by detection.
        oks: (P,) float64; against a person without labels it is the detection's OKS with the doubled box (COCO's rule).
    """

    truth: Truth
    results: Results
    sigmas: Floats
    people: Ints
    detections: Ints
    people_start: Ints
    detections_start: Ints
    pairs_start: Ints
    pair_person: Ints
    pair_detection: Ints
    oks: Floats

    def matrix(self, group: int, values: Floats) -> Floats:
        """A group's slice of ``values`` (P,) as (detections, people)."""
        shape = (
            self.detections_start[group + 1] - self.detections_start[group],
            self.people_start[group + 1] - self.people_start[group],
        )
        return values[self.pairs_start[group] : self.pairs_start[group + 1]].reshape(shape)


@dataclass(frozen=True)
class OksScores:
    """Average precision and recall over OKS .50:.05:.95; -1 where there is nobody to find, as pycocotools.

    Attributes:
        ap, ap50, ap75, ap_medium, ap_large, ar, ar50, ar75, ar_medium, ar_large: COCO's ten numbers.
        ap_easy, ap_medium_crowd, ap_hard: CrowdPose's split by the image's crowd index; None with the COCO protocol.
        by_category: AP by category name where there are several.
        precision: (10, 101) interpolated precision by OKS threshold and recall, averaged over categories.
        images, people, detections: how many were scored.
        area_source: where the people's areas come from.
        notes: what a reader must know about the files.
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
    protocol: Protocol
    images: int
    people: int
    detections: int
    area_source: str
    ap_easy: float | None = None
    ap_medium_crowd: float | None = None
    ap_hard: float | None = None
    by_category: dict[str, float] = field(default_factory=dict)
    precision: Floats = field(default_factory=lambda: np.zeros((10, 101)), repr=False)
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
    truth: dict[str, Any], results: list[dict[str, Any]], skeleton: "Skeleton", protocol: Protocol = "coco"
) -> OksScores:
    """Score a COCO results list against a COCO-format truth.

    Args:
        truth: content of the annotation file.
        results: ``[{image_id, category_id, keypoints, score}, ...]``; ``category_id`` may miss where there is one.
        skeleton: gives K and the sigmas.
        protocol: "crowdpose" takes 0.53 x box as area and splits by the images' ``crowdIndex``.

    Raises:
        EveryposeError: for files that cannot be scored; the message names the first bad entry.
    """
    sigmas = skeleton.require_sigmas()
    people = read_truth(truth, len(skeleton), box_areas=protocol == "crowdpose")
    return score(compare(people, read_results(results, people, len(skeleton)), sigmas), protocol)


def score(comparison: Comparison, protocol: Protocol = "coco") -> OksScores:
    """COCO's ten numbers of a comparison, with CrowdPose's split where the protocol asks for it.

    Raises:
        EveryposeError: when nobody is there to be found, or ``crowdIndex`` is missing for the CrowdPose protocol.
    """
    truth = comparison.truth
    if not truth.counted.any():
        raise EveryposeError("the truth has no person with labelled keypoints: nothing to measure")
    precision, recall = accumulate(comparison)
    names = ("ap_easy", "ap_medium_crowd", "ap_hard")
    split = dict(zip(names, _by_crowd_index(comparison), strict=True)) if protocol == "crowdpose" else {}
    with_people = np.unique(truth.category[truth.counted])
    by_category = {truth.categories[c][1]: mean_valid(precision[:, :, c, 0]) for c in with_people.tolist()}
    averaged = np.where((valid := precision[:, :, :, 0] > -1), precision[:, :, :, 0], 0).sum(axis=2)
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
        images=len(truth.image_ids),
        people=int(truth.counted.sum()),
        detections=len(comparison.results.scores),
        area_source=truth.area_source,
        by_category=by_category if len(truth.categories) > 1 else {},
        precision=averaged / np.maximum(valid.sum(axis=2), 1),
        notes=truth.notes + comparison.results.notes,
        **split,
    )


def mean_valid(values: Floats) -> float:
    """Mean of the values above -1; -1 when there is none (pycocotools' mark for "nobody to find")."""
    valid = values[values > -1]
    return float(np.mean(valid)) if valid.size else -1.0


def _by_crowd_index(comparison: Comparison) -> list[float]:
    """AP of easy, medium and hard images, as CrowdPose's tool: a mean without filtering -1, rounded to 4 digits."""
    images = comparison.truth.images
    if not all(isinstance(image.get("crowdIndex"), int | float) for image in images):
        raise EveryposeError(
            "the CrowdPose protocol needs 'crowdIndex' for every image of the truth; score it as coco instead"
        )
    index = np.array([image["crowdIndex"] for image in images], np.float64)
    level = (index >= EASY_BELOW).astype(np.int64) + (index >= MEDIUM_BELOW)
    parts = [np.flatnonzero(level == wanted) for wanted in range(3)]
    return [round(float(np.mean(accumulate(comparison, images=part)[0][:, :, :, 0])), 4) for part in parts]


def compare(truth: Truth, results: Results, sigmas: Floats) -> Comparison:
    """Choose the detections that count, and compute their OKS with all people of their image and category."""
    categories = max(len(truth.categories), 1)
    groups = len(truth.image_ids) * categories
    person_group = truth.image * categories + truth.category
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
    return Comparison(
        truth=truth,
        results=results,
        sigmas=sigmas,
        people=people,
        detections=detections,
        people_start=people_start,
        detections_start=detections_start,
        pairs_start=pair_start[detections_start],
        pair_person=pair_person,
        pair_detection=pair_detection,
        oks=pair_oks(truth, results, sigmas, pair_person, pair_detection),
    )


def pair_oks(truth: Truth, results: Results, sigmas: Floats, people: Ints, detections: Ints) -> Floats:
    """OKS (P,) of pairs (person, detection): the mean over the labelled keypoints of exp(-d^2 / (2 (2 sigma)^2 area)).

    People without a label are compared by the distance to their doubled box, over all keypoints (COCO's rule).
    The order of every operation and sum is pycocotools', so that the results are equal bit for bit.
    """
    visible = truth.keypoints[:, :, 2] > 0
    columns = np.argsort(~visible, axis=1, kind="stable")
    count = visible.sum(axis=1)
    oks = np.zeros(len(people))
    for labelled in np.unique(count[people]):
        rows = np.flatnonzero(count[people] == labelled)
        for begin in range(0, len(rows), PAIRS_AT_ONCE):
            part = rows[begin : begin + PAIRS_AT_ONCE]
            person, detection = people[part], detections[part]
            if labelled:
                chosen = columns[person, :labelled]
                true = truth.keypoints[person[:, None], chosen]
                distance = results.keypoints[detection[:, None], chosen, :2] - true[:, :, :2]
                variance = ((sigmas * 2) ** 2)[chosen]
            else:
                distance = outside_box(results.keypoints[detection, :, :2], truth.boxes[person])
                variance = ((sigmas * 2) ** 2)[None]
            with np.errstate(over="ignore"):
                squared = distance[:, :, 0] ** 2 + distance[:, :, 1] ** 2
                exponent = squared / variance / (truth.areas[person, None] + np.spacing(1)) / 2
            oks[part] = np.exp(-exponent).sum(axis=1) / exponent.shape[1]
    return oks


def outside_box(points: Floats, boxes: Floats) -> Floats:
    """How far (P, K, 2) points lie outside boxes (P, 4: x, y, width, height) doubled around themselves; 0 inside."""
    low = boxes[:, None, :2] - boxes[:, None, 2:]
    high = boxes[:, None, :2] + boxes[:, None, 2:] * 2
    return np.maximum(0, low - points) + np.maximum(0, points - high)


def accumulate(
    comparison: Comparison, ignored: Bools | None = None, oks: Floats | None = None, images: Ints | None = None
) -> tuple[Floats, Floats]:
    """Precision (10, 101, categories, 3 areas) and recall (10, categories, 3 areas) by faster-coco-eval.

    Args:
        comparison: detections beside people.
        ignored: (N,) people that are neither right nor wrong to find; default: unlabelled ones and crowd regions.
        oks: (P,) instead of the comparison's.
        images: indices of the images to score; default: all.
    """
    scorer = _ArrayScorer(comparison, ~comparison.truth.counted if ignored is None else ignored, oks, images)
    scorer.evaluate()
    scorer.accumulate()
    return scorer.eval["precision"][..., 0], scorer.eval["recall"][..., 0]


class _ArrayScorer(COCOeval_faster):  # type: ignore[misc]
    """faster-coco-eval fed from arrays: its matching and accumulation without its loading and its OKS loop."""

    def __init__(self, comparison: Comparison, ignored: Bools, oks: Floats | None, images: Ints | None) -> None:
        super().__init__(iouType="keypoints", kpt_oks_sigmas=comparison.sigmas.tolist(), print_function=_silent)
        self.comparison = comparison
        self.ignored = ignored
        self.oks = comparison.oks if oks is None else oks
        self.params.imgIds = list(range(len(comparison.truth.image_ids))) if images is None else images.tolist()
        self.params.catIds = list(range(len(comparison.truth.categories)))

    def _prepare(self) -> None:
        compared, truth, results = self.comparison, self.comparison.truth, self.comparison.results
        self.gt_dataset.clean()
        self.dt_dataset.clean()
        # Ids start at 1: the scorer marks "unmatched" with 0.
        for row in compared.people.tolist():
            person = {
                "id": row + 1,
                "area": float(truth.areas[row]),
                "iscrowd": int(truth.crowd[row]),
                "ignore": int(self.ignored[row]),
            }
            self.gt_dataset.append(int(truth.image[row]), int(truth.category[row]), person)
        for row in compared.detections.tolist():
            detection = {"id": row + 1, "area": float(results.areas[row]), "score": float(results.scores[row])}
            self.dt_dataset.append(int(results.image[row]), int(results.category[row]), detection)

    def computeOks(self, image: int, category: int) -> list[list[float]]:  # noqa: N802
        """The (detections, people) OKS of one image and category, the name and form that faster-coco-eval asks for."""
        group = int(image) * len(self.comparison.truth.categories) + int(category)
        matrix: list[list[float]] = self.comparison.matrix(group, self.oks).tolist()
        return matrix if matrix and matrix[0] else []


def _silent(*_: Any) -> None:
    """faster-coco-eval reports its progress to a function; a library prints nothing."""
