"""One call for every metric: truth and predictions in, the numbers of a record out."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.coco_arrays import Bools, Floats, Truth, read_results, read_truth
from everypose.evaluation.metrics.breakdown import breakdown
from everypose.evaluation.metrics.error_types import KINDS, Mistakes, find_mistakes, match
from everypose.evaluation.metrics.oks import Comparison, OksScores, compare, score
from everypose.evaluation.metrics.pck import MPII_LEFT_OUT, hand_scores, head_sizes, pckh, tight_sides
from everypose.evaluation.metrics.wholebody import evaluate_wholebody
from everypose.evaluation.report.record import ClassRow, KeypointRow, Metric, as_json_number

if TYPE_CHECKING:
    from everypose.skeleton.skeleton import Skeleton


@dataclass
class Measured:
    """What an evaluation found; the fields are those of ``Record`` and ``Protocol``.

    Attributes:
        comparison: detections beside people, for metrics by OKS.
        precision: (10, 101) precision by OKS threshold and recall, for metrics by OKS.
    """

    metric: Metric
    numbers: dict[str, dict[str, float | None]]
    images: int
    persons: int
    area: str | None = None
    detection_area: str | None = None
    sigmas: str | None = None
    classes: dict[str, list[ClassRow]] = field(default_factory=dict)
    keypoints: list[KeypointRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    comparison: Comparison | None = None
    precision: Floats | None = None


def choose_metric(skeleton: "Skeleton", truth: dict[str, Any]) -> Metric:
    """The metric that a data set with this skeleton is published with; COCO's OKS for all skeletons of one's own."""
    if skeleton.name == "crowdpose" and all("crowdIndex" in image for image in truth.get("images", [])):
        return "crowdpose"
    by_skeleton: dict[str, Metric] = {"coco_wholebody": "wholebody", "mpii": "pckh", "interhand2d": "hand"}
    return by_skeleton.get(skeleton.name, "coco")


def measure(
    truth: dict[str, Any], results: list[dict[str, Any]], skeleton: "Skeleton", metric: Metric | None = None
) -> Measured:
    """Score predictions by a metric, with breakdowns where the metric is one of OKS.

    Args:
        truth: content of the COCO-format annotation file.
        results: COCO results list; for pckh and hand each names its annotation as ``annotation_id``.
        skeleton: gives K, sigmas, pairs and names.
        metric: default: ``choose_metric``.

    Raises:
        EveryposeError: for what cannot be scored.
    """
    chosen = metric or choose_metric(skeleton, truth)
    if chosen in ("pckh", "hand"):
        return _by_distance(truth, results, skeleton, chosen)
    people = read_truth(truth, len(skeleton), box_areas=chosen == "crowdpose")
    comparison = compare(people, read_results(results, people, len(skeleton)), skeleton.require_sigmas())
    scores = score(comparison, "crowdpose" if chosen == "crowdpose" else "coco")
    numbers = {"": scores.numbers()}
    if chosen == "wholebody":
        numbers = {part: each.numbers() for part, each in evaluate_wholebody(truth, results, skeleton).items()}
    mistakes = find_mistakes(comparison, match(comparison), skeleton.flip_index)
    return Measured(
        metric=chosen,
        numbers={part: {name: as_json_number(value) for name, value in each.items()} for part, each in numbers.items()}
        | _by_category(scores),
        images=scores.images,
        persons=scores.people,
        area=scores.area_source,
        detection_area=comparison.results.area_source,
        sigmas=digest(comparison.sigmas),
        classes={
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
            for kind, rows in breakdown(comparison).items()
        },
        keypoints=_keypoint_rows(skeleton.keypoints, mistakes),
        notes=scores.notes,
        comparison=comparison,
        precision=scores.precision,
    )


def digest(sigmas: Floats) -> str:
    """A short digest of sigmas, so that records made with different ones never pass as comparable."""
    return hashlib.sha256(",".join(f"{sigma:.6g}" for sigma in sigmas).encode()).hexdigest()[:12]


def _by_category(scores: OksScores) -> dict[str, dict[str, float | None]]:
    """AP of each category (AP-10K's and APT-36K's species); AP over all of them is their mean."""
    return {name: {"AP": as_json_number(ap)} for name, ap in scores.by_category.items()}


def _keypoint_rows(names: tuple[str, ...], mistakes: Mistakes) -> list[KeypointRow]:
    return [
        KeypointRow(
            keypoint=name,
            **dict(zip(KINDS, mistakes.counts[k].tolist(), strict=True)),
            unmatched=int(mistakes.unmatched[k]),
            median_pixels=as_json_number(mistakes.median_pixels[k]),
            median_relative=as_json_number(mistakes.median_relative[k]),
        )
        for k, name in enumerate(names)
    ]


def _by_distance(
    truth: dict[str, Any], results: list[dict[str, Any]], skeleton: "Skeleton", metric: Metric
) -> Measured:
    """PCKh or the hand scores of one prediction for each annotated person."""
    people = read_truth(truth, len(skeleton))
    rows, predicted = _one_for_each(people, results, len(skeleton))
    true, visible = people.keypoints[rows, :, :2], people.keypoints[rows, :, 2] > 0
    if metric == "pckh":
        if len(skeleton) <= max(MPII_LEFT_OUT):
            raise UsageError(f"PCKh is MPII's metric of 16 keypoints, the skeleton {skeleton.name} has {len(skeleton)}")
        sizes = _head_sizes(truth["annotations"], [people.annotation_ids[row] for row in rows.tolist()])
        scores = pckh(predicted, true, visible, sizes).numbers()
    else:
        scores = hand_scores(predicted, true, visible, tight_sides(true, visible)).numbers()
    return Measured(
        metric=metric,
        numbers={"": {name: as_json_number(value) for name, value in scores.items()}},
        images=len(people.image_ids),
        persons=len(rows),
        notes=people.notes,
    )


def _one_for_each(people: Truth, results: list[dict[str, Any]], count: int) -> tuple[Any, Floats]:
    """Rows of the counted people, and (N, K, 2) the prediction that names each.

    Raises:
        EveryposeError: when a person has no prediction or two, or a prediction names nobody.
    """
    found = read_results(results, people, count)
    counted: Bools = people.counted
    rows = np.flatnonzero(counted)
    if not rows.size:
        raise EveryposeError("the truth has no person with labelled keypoints: nothing to measure")
    row_of = {identity: row for row, identity in enumerate(people.annotation_ids)}
    named = [result.get("annotation_id") for result in results]
    if (stranger := next((i for i, identity in enumerate(named) if identity not in row_of), None)) is not None:
        raise EveryposeError(
            f"prediction {stranger} names annotation_id {named[stranger]!r}, which is not in the truth:"
            " this metric scores one prediction for each annotated person"
        )
    if len(set(named)) < len(named):
        twice = next(identity for identity in named if named.count(identity) > 1)
        raise EveryposeError(f"two predictions name annotation_id {twice!r}; this metric takes one for each person")
    place = {row_of[identity]: i for i, identity in enumerate(named)}
    missing = [people.annotation_ids[row] for row in rows.tolist() if row not in place]
    if missing:
        raise EveryposeError(f"{len(missing)} annotated people have no prediction (first: annotation {missing[0]})")
    return rows, found.keypoints[[place[row] for row in rows.tolist()], :, :2]


def _head_sizes(annotations: list[dict[str, Any]], ids: list[Any]) -> Floats:
    """(N,) ``head_size``, or 0.6 x the diagonal of ``head_box`` (x1 y1 x2 y2) or ``bbox_head`` (x y w h)."""
    by_id = {a.get("id"): a for a in annotations}
    sizes = []
    for identity in ids:
        entry = by_id[identity]
        if "head_size" in entry:
            sizes.append(float(entry["head_size"]))
        elif "head_box" in entry:
            sizes.append(float(head_sizes(np.asarray(entry["head_box"], np.float64).reshape(1, 4))[0]))
        elif "bbox_head" in entry:
            x, y, width, height = entry["bbox_head"]
            sizes.append(float(head_sizes(np.array([[x, y, x + width, y + height]], np.float64))[0]))
        else:
            raise EveryposeError(
                f"annotation {identity} has no head_size, head_box (x1 y1 x2 y2) or bbox_head (x y w h) for PCKh"
            )
    return np.array(sizes)
