"""AP against the detector's confidence threshold (MIPNet, Fig. 5): what happens to people without a box."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from everypose.errors import UsageError
from everypose.evaluation.evaluate import EvaluationSetup
from everypose.evaluation.metrics.average_precision import OksScores
from everypose.evaluation.predict import box_pose_results, predict_box_poses
from everypose.evaluation.report.tables import percent
from everypose.inference.top_down import BoxPoses
from everypose.studies.chart import line_chart
from everypose.studies.report import Study, difference, signed_percent
from everypose.studies.subject import facts_of, labels_of, require_top_down

THRESHOLDS = tuple(step / 10 for step in range(10))
"""Those of Fig. 5. Single-stage models seldom score a person that high and need lower ones."""


@dataclass(frozen=True)
class Point:
    """The scores of a model with the boxes above one threshold.

    Attributes:
        threshold: lowest score of a box.
        boxes: how many boxes have it.
        ap: average precision.
        ar: average recall.

    >>> Point(threshold=0.3, boxes=1200, ap=0.62, ar=0.7).ap
    0.62
    """

    threshold: float
    boxes: int
    ap: float
    ar: float


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Read ascending thresholds from ``0,0.1,...``.

    Raises:
        UsageError: if they are not numbers from 0 to 1.

    >>> parse_thresholds("0.5,0.1")
    (0.1, 0.5)
    """
    try:
        thresholds = sorted({float(number) for number in text.split(",")})
    except ValueError:
        thresholds = []
    if not thresholds or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise UsageError(f"--thresholds {text!r} must be numbers from 0 to 1: 0,0.1,0.2,...")
    return tuple(thresholds)


def _sweep(
    found: Sequence[BoxPoses], thresholds: Sequence[float], score: Callable[[list[BoxPoses]], OksScores]
) -> list[Point]:
    """Score the same poses with fewer and fewer boxes; the network runs once on each crop.

    Suppression is repeated at every threshold, because a removed box may have suppressed a remaining one.

    Args:
        found: the poses in the boxes of each image.
        thresholds: lowest scores of boxes.
        score: scores the remaining poses, one entry for each image.
    """
    points = []
    for threshold in thresholds:
        remaining = [poses.at_least(threshold) for poses in found]
        scores = score(remaining)
        points.append(Point(threshold, sum(len(poses.boxes) for poses in remaining), scores.ap, scores.ar))
    return points


def _sweep_model(setup: EvaluationSetup, thresholds: Sequence[float], *, quiet: bool = False) -> list[Point]:
    """Sweep one model on its annotated set; arguments and errors as ``study_boxes``."""
    estimator = require_top_down(setup)
    images = predict_box_poses(estimator, setup.annotated, quiet=quiet)

    def score(remaining: list[BoxPoses]) -> OksScores:
        kept = (replace(image, poses=poses) for image, poses in zip(images, remaining, strict=True))
        return setup.annotated.score_oks(box_pose_results(estimator, kept))

    return _sweep([image.poses for image in images], thresholds, score)


def study_boxes(
    models: Sequence[EvaluationSetup], thresholds: Sequence[float] = THRESHOLDS, *, quiet: bool = False
) -> Study:
    """Run the study with one model, or with a model and a baseline.

    Args:
        models: prepared with the same boxes, all that score at least the lowest threshold.
        thresholds: ascending.
        quiet: show no progress bar.

    Raises:
        UsageError: if the boxes have no scores, or a model is single-stage.

    >>> from types import SimpleNamespace
    >>> from everypose.evaluation.box_source import BoxSource
    >>> study_boxes([SimpleNamespace(boxes=BoxSource(boxes="truth"))])
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: annotated boxes have no confidence: give detections (--boxes ...
    """
    if models[0].boxes.is_ground_truth:
        raise UsageError("annotated boxes have no confidence: give detections (--boxes FILE.json) or a --detector")
    swept = [_sweep_model(setup, thresholds, quiet=quiet) for setup in models]
    labels = labels_of(models)
    scores = [f"{number} {label}" for label in labels for number in ("AP", "AR")]
    columns = {"threshold": "{:g}".format, "boxes": "{:,}".format, **dict.fromkeys(scores, percent)}
    return Study(
        name="boxes",
        title="AP against the detector's confidence threshold",
        columns=columns | ({"gain": signed_percent} if len(models) > 1 else {}),
        rows=[_row(labels, points) for points in zip(*swept, strict=True)],
        picture=line_chart(
            "lowest confidence of a box",
            "AP, percent",
            places=[f"{threshold:g}" for threshold in thresholds],
            lines={label: [100 * point.ap for point in points] for label, points in zip(labels, swept, strict=True)},
        ),
        facts=facts_of(models),
        notes=list(dict.fromkeys(note for setup in models for note in setup.notes())),
    )


def _row(labels: Sequence[str], points: Sequence[Point]) -> dict[str, Any]:
    """The table's row for one threshold."""
    row: dict[str, Any] = {"threshold": points[0].threshold, "boxes": points[0].boxes}
    for label, point in zip(labels, points, strict=True):
        row |= {f"AP {label}": point.ap, f"AR {label}": point.ar}
    return row | ({"gain": difference(points[0].ap, points[1].ap)} if len(points) > 1 else {})
