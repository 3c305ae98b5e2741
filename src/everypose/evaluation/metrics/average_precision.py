"""Average precision and recall by OKS: COCO's ten numbers, CrowdPose's nine.

The ten numbers equal pycocotools' (Lin et al., https://cocodataset.org/#keypoints-eval).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from everypose.core.arrays import Float64
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.coco_schema import JsonObject
from everypose.evaluation.metrics.oks import OksPairs, compute_oks
from everypose.evaluation.metrics.precision_recall import precision_and_recall

if TYPE_CHECKING:
    from rich.table import Table

    from everypose.skeleton.skeleton import Skeleton

OksProtocol = Literal["coco", "crowdpose"]
EASY_BELOW, MEDIUM_BELOW = 0.2, 0.8
"""Crowd indices that separate easy, medium and hard images in CrowdPose's tool; its paper says 0.1 and 0.8."""


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
