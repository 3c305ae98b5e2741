"""AP against the detector's confidence (MIPNet, Fig. 5): what becomes of the people without a box."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from everypose.errors import UsageError
from everypose.evaluation.box_poses import box_results
from everypose.evaluation.evaluate import Opened
from everypose.evaluation.metrics.oks import OksScores
from everypose.evaluation.predict import predict_boxes
from everypose.evaluation.report.tables import percent
from everypose.inference.top_down import BoxPoses
from everypose.studies.chart import line_chart
from everypose.studies.report import Study, difference, signed_percent
from everypose.studies.subject import facts_of, labels_of, require_top_down

THRESHOLDS = tuple(step / 10 for step in range(10))
"""Those of Fig. 5. People whom a single-stage model finds seldom score as much: it wants others."""


@dataclass(frozen=True)
class Point:
    """A model with the boxes that score ``threshold`` or more, of which there are ``boxes``."""

    threshold: float
    boxes: int
    ap: float
    ar: float


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Rising thresholds from ``0,0.1,...``.

    Raises:
        UsageError: when they are no numbers from 0 to 1.
    """
    try:
        thresholds = sorted({float(number) for number in text.split(",")})
    except ValueError:
        thresholds = []
    if not thresholds or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise UsageError(f"--thresholds {text!r} must be numbers from 0 to 1: 0,0.1,0.2,...")
    return tuple(thresholds)


def sweep(
    found: Sequence[BoxPoses], thresholds: Sequence[float], score: Callable[[list[BoxPoses]], OksScores]
) -> list[Point]:
    """Score the same poses with fewer and fewer boxes: no crop goes through the network twice.

    Suppression runs anew at every threshold, because a box that goes may have suppressed one that stays.

    Args:
        found: the poses in the boxes of every image.
        thresholds: lowest scores of boxes.
        score: of the poses that are left, one entry for each image.
    """
    points = []
    for threshold in thresholds:
        left = [poses.above(threshold) for poses in found]
        scores = score(left)
        points.append(Point(threshold, sum(len(poses.boxes) for poses in left), scores.ap, scores.ar))
    return points


def sweep_model(opened: Opened, thresholds: Sequence[float], quiet: bool = False) -> list[Point]:
    """The sweep of one model on its labelled set."""
    estimator = require_top_down(opened)
    looked = predict_boxes(estimator, opened.labelled, quiet)

    def score(left: list[BoxPoses]) -> OksScores:
        images = [(image_id, category, poses) for (image_id, category, _), poses in zip(looked, left, strict=True)]
        return opened.labelled.scores(box_results(estimator, images))

    return sweep([poses for _, _, poses in looked], thresholds, score)


def study_boxes(models: Sequence[Opened], thresholds: Sequence[float] = THRESHOLDS, quiet: bool = False) -> Study:
    """The study, of a model or of a model and another.

    Args:
        models: opened with the same boxes, all that score as much as the lowest threshold.
        thresholds: rising.
        quiet: no progress.

    Raises:
        UsageError: when the boxes have no scores, or a model looks at no boxes.
    """
    if models[0].boxes.is_truth:
        raise UsageError("annotated boxes have no confidence: give detections (--boxes FILE.json) or a --detector")
    swept = [sweep_model(opened, thresholds, quiet) for opened in models]
    labels = labels_of(models)
    rows = []
    for points in zip(*swept, strict=True):
        row = {"threshold": points[0].threshold, "boxes": points[0].boxes}
        for label, point in zip(labels, points, strict=True):
            row |= {f"AP {label}": point.ap, f"AR {label}": point.ar}
        rows.append(row | ({"gain": difference(points[0].ap, points[1].ap)} if len(points) > 1 else {}))
    scores = [f"{number} {label}" for label in labels for number in ("AP", "AR")]
    columns = {"threshold": "{:g}".format, "boxes": "{:,}".format, **dict.fromkeys(scores, percent)}
    return Study(
        name="boxes",
        title="AP against the detector's confidence threshold",
        columns=columns | ({"gain": signed_percent} if len(models) > 1 else {}),
        rows=rows,
        picture=line_chart(
            "lowest confidence of a box",
            "AP, percent",
            [f"{threshold:g}" for threshold in thresholds],
            {label: [100 * point.ap for point in points] for label, points in zip(labels, swept, strict=True)},
        ),
        facts=facts_of(models),
        notes=list(dict.fromkeys(note for opened in models for note in opened.notes())),
    )
