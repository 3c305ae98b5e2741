"""One call for every metric: annotated people and results in, the numbers of a record out."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.coco_arrays import GroundTruth, Results
from everypose.evaluation.metrics.average_precision import OksScores, score_oks
from everypose.evaluation.metrics.breakdown import breakdown
from everypose.evaluation.metrics.by_distance import DISTANCE_METRICS, PairedPeople
from everypose.evaluation.metrics.error_types import ERROR_TYPES, KeypointErrors, classify_errors, match_detections
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.metrics.oks import OksPairs, compute_oks
from everypose.evaluation.metrics.wholebody import score_wholebody
from everypose.evaluation.report.record import ClassRow, KeypointRow, as_json_number


@dataclass(frozen=True)
class Scores:
    """The scores of an evaluation; the fields are those of ``Record`` and ``Protocol``.

    Attributes:
        metric: what was computed.
        numbers: part to name to number, see ``Record``.
        images: how many were scored.
        people: how many were to be found.
        area: where the people's areas come from, in words; None for metrics by distance.
        detection_area: where the detections' areas come from, in words.
        sigmas: digest of the sigmas.
        classes: kind of class to the scores of its classes.
        keypoints: error types by keypoint.
        notes: what a reader of the scores must know.
        pairs: detections and people with their OKS; None for metrics by distance.
        precision: (10, 101) float64, precision by OKS threshold and recall.

    >>> Scores("coco", {"": {"AP": 0.461}}, images=114, people=315).numbers[""]["AP"]
    0.461
    """

    metric: Metric
    numbers: dict[str, dict[str, float | None]]
    images: int
    people: int
    area: str | None = None
    detection_area: str | None = None
    sigmas: str | None = None
    classes: dict[str, list[ClassRow]] = field(default_factory=dict)
    keypoints: list[KeypointRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: OksPairs | None = None
    precision: Float64 | None = None


def compute_scores(annotated: AnnotatedSet, results: Results) -> Scores:
    """Score results by the set's metric, with breakdowns if the metric is one of OKS.

    Args:
        annotated: the annotated people, their skeleton and metric.
        results: detections; for the metrics pckh and hand each has an ``annotation_id``.

    Raises:
        EveryposeError: if the results cannot be scored by this metric.

    >>> from pathlib import Path
    >>> from everypose.data.discovery.layouts import Layout
    >>> from everypose.evaluation.coco_arrays import read_results
    >>> layout = Layout((Path("mice.json"),), Path("images"), None, None, "the given annotation file")
    >>> mouse = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2, 9, 9, 2], "bbox": [0, 0, 20, 10]}
    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [mouse], "categories": [category]}
    >>> annotated = AnnotatedSet.from_content(content, layout).with_sigmas((0.1, 0.1))
    >>> pose = {"image_id": 1, "category_id": 1, "keypoints": [4, 5, 0.9, 9, 8, 0.9], "score": 0.9}
    >>> scores = compute_scores(annotated, read_results([pose], annotated.ground_truth))
    >>> round(scores.numbers[""]["AP"], 3), scores.people
    (0.9, 1)
    """
    if annotated.one_prediction_per_person:
        return _by_distance(annotated, results)
    skeleton, metric = annotated.skeleton, annotated.metric
    pairs = compute_oks(annotated.ground_truth, results, skeleton.require_sigmas())
    scores = score_oks(pairs, "crowdpose" if metric == "crowdpose" else "coco")
    numbers = {"": scores.numbers()}
    if metric == "wholebody":
        parts = score_wholebody(annotated.ground_truth, results, skeleton)
        numbers = {part: each.numbers() for part, each in parts.items()}
    errors = classify_errors(pairs, match_detections(pairs), skeleton.flip_index)
    return Scores(
        metric=metric,
        numbers={part: {name: as_json_number(value) for name, value in each.items()} for part, each in numbers.items()}
        | _by_category(scores),
        images=scores.images,
        people=scores.people,
        area=scores.area_source,
        detection_area=results.area_source,
        sigmas=digest(pairs.sigmas),
        classes=_class_rows(pairs),
        keypoints=_keypoint_rows(skeleton.keypoints, errors),
        notes=scores.notes,
        pairs=pairs,
        precision=scores.precision,
    )


def digest(sigmas: Float64) -> str:
    """A short digest of sigmas, so that records made with different ones are never taken as comparable.

    >>> digest(np.array([0.026, 0.025]))
    '3436905df83b'
    """
    return hashlib.sha256(",".join(f"{sigma:.6g}" for sigma in sigmas).encode()).hexdigest()[:12]


def _by_category(scores: OksScores) -> dict[str, dict[str, float | None]]:
    """AP of each category (AP-10K's and APT-36K's species); AP over all of them is their mean."""
    return {name: {"AP": as_json_number(ap)} for name, ap in scores.by_category.items()}


def _class_rows(pairs: OksPairs) -> dict[str, list[ClassRow]]:
    return {
        kind: [
            ClassRow(
                name=row.name,
                people=row.people,
                ap=as_json_number(row.ap),
                ap50=as_json_number(row.ap50),
                ar=as_json_number(row.ar),
            )
            for row in rows
        ]
        for kind, rows in breakdown(pairs).items()
    }


def _keypoint_rows(names: tuple[str, ...], errors: KeypointErrors) -> list[KeypointRow]:
    return [
        KeypointRow(
            keypoint=name,
            **dict(zip(ERROR_TYPES, errors.counts[k].tolist(), strict=True)),
            unmatched=int(errors.unmatched[k]),
            median_pixels=as_json_number(errors.median_pixels[k]),
            median_relative=as_json_number(errors.median_relative[k]),
        )
        for k, name in enumerate(names)
    ]


def _by_distance(annotated: AnnotatedSet, results: Results) -> Scores:
    """The numbers of a metric that takes one prediction for each annotated person."""
    people = annotated.ground_truth
    rows, predicted = _one_prediction_each(people, results)
    paired = PairedPeople(
        predicted,
        people.keypoints[rows, :, :2],
        people.is_labeled[rows],
        people.head_sizes[rows],
        [people.annotation_ids[row] for row in rows.tolist()],
        annotated.skeleton,
    )
    numbers = DISTANCE_METRICS[annotated.metric](paired)
    return Scores(
        metric=annotated.metric,
        numbers={"": {name: as_json_number(value) for name, value in numbers.items()}},
        images=len(people.image_ids),
        people=len(rows),
        notes=people.notes,
    )


def _one_prediction_each(people: GroundTruth, results: Results) -> tuple[Int64, Float64]:
    """Rows of the people to be found, and the prediction (N, K, 2) that names each.

    Raises:
        EveryposeError: if a person has no prediction or two, or a prediction names an unknown annotation.
    """
    rows = np.flatnonzero(people.is_scored)
    if not rows.size:
        raise EveryposeError("the ground truth has no person with labeled keypoints: nothing to measure")
    row_of = {annotation_id: row for row, annotation_id in enumerate(people.annotation_ids)}
    prediction_of: dict[int, int] = {}
    for prediction, annotation_id in enumerate(results.annotation_ids):
        row = None if annotation_id is None else row_of.get(annotation_id)
        if row is None:
            raise EveryposeError(
                f"prediction {prediction} names annotation_id {annotation_id!r:.60}, which is not in the annotation"
                " file: this metric scores one prediction for each annotated person"
            )
        if row in prediction_of:
            raise EveryposeError(
                f"two predictions name annotation_id {annotation_id!r:.60}; this metric takes one for each person"
            )
        prediction_of[row] = prediction
    missing = [people.annotation_ids[row] for row in rows.tolist() if row not in prediction_of]
    if missing:
        raise EveryposeError(f"{len(missing)} annotated people have no prediction (first: annotation {missing[0]})")
    return rows, results.keypoints[[prediction_of[row] for row in rows.tolist()], :, :2]
