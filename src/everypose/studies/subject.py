"""What the studies require of models and data, and how they name them."""

from collections.abc import Sequence
from typing import Any

from everypose.errors import UsageError
from everypose.evaluation.evaluate import EvaluationSetup, annotations_sha256
from everypose.evaluation.report.record import shown
from everypose.inference.top_down import TopDownEstimator, as_top_down


def require_top_down(setup: EvaluationSetup) -> TopDownEstimator:
    """The setup's estimator.

    Raises:
        UsageError: if the model is single-stage, or the data are not scored by OKS.
    """
    estimator = as_top_down(setup.estimator)
    if estimator is None:
        raise UsageError(f"{setup.config.name} finds people by itself: this study needs a top-down model")
    if setup.annotated.one_prediction_per_person:
        raise UsageError(f"{setup.annotated.skeleton.name} is not scored by OKS, which this study needs")
    return estimator


def labels_of(models: Sequence[EvaluationSetup]) -> list[str]:
    """A distinct label for each model."""
    return distinct([setup.config.name for setup in models])


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to those that are repeated.

    >>> distinct(["a", "b", "a"])
    ['a (1)', 'b', 'a (3)']
    """
    return [name if names.count(name) == 1 else f"{name} ({position})" for position, name in enumerate(names, start=1)]


def facts_of(models: Sequence[EvaluationSetup]) -> dict[str, Any]:
    """The models and the protocol; values in which the models differ are listed for both."""
    annotated = models[0].annotated
    facts: dict[str, Any] = {
        f"weights of {label}": f"sha256 {setup.sha256}" for label, setup in zip(labels_of(models), models, strict=True)
    }
    facts |= {
        "annotations": f"sha256 {annotations_sha256(annotated.layout.annotation_files)}",
        "images": len(annotated.paths),
        "persons": int(annotated.ground_truth.is_scored.sum()),
        "metric": annotated.metric,
        "keypoints": annotated.skeleton.name,
        "area": annotated.ground_truth.area_source,
    }
    fields = [setup.protocol_fields() for setup in models]
    for name, value in fields[0].items():
        values = dict.fromkeys(shown(each[name]) for each in fields)
        facts[name] = value if len(values) == 1 else " and ".join(values)
    return facts
