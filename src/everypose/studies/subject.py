"""What the studies ask of the models and data that they are given, and how they name them."""

from collections.abc import Sequence
from typing import Any

from everypose.errors import UsageError
from everypose.evaluation.evaluate import Opened, annotations_sha256
from everypose.evaluation.report.record import shown
from everypose.inference.top_down import TopDownEstimator


def require_top_down(opened: Opened) -> TopDownEstimator:
    """The model's estimator.

    Raises:
        UsageError: when the model looks at no boxes, or the data are not scored by OKS.
    """
    if not isinstance(opened.estimator, TopDownEstimator):
        raise UsageError(f"{opened.config.name} finds people by itself: this study is of models that look at boxes")
    if opened.labelled.one_for_each:
        raise UsageError(f"{opened.labelled.skeleton.name} is not scored by OKS, on which this study rests")
    return opened.estimator


def labels_of(models: Sequence[Opened]) -> list[str]:
    """A name for each model."""
    return distinct([opened.config.name for opened in models])


def distinct(names: Sequence[str]) -> list[str]:
    """The names, those that occur twice with their position behind them."""
    return [name if names.count(name) == 1 else f"{name} ({position})" for position, name in enumerate(names, start=1)]


def facts_of(models: Sequence[Opened]) -> dict[str, Any]:
    """The models and the protocol; where the models differ, the values of both."""
    labelled = models[0].labelled
    facts: dict[str, Any] = {
        f"weights of {label}": f"sha256 {opened.sha256}"
        for label, opened in zip(labels_of(models), models, strict=True)
    }
    facts |= {
        "annotations": f"sha256 {annotations_sha256(labelled.layout.annotation_files)}",
        "images": len(labelled.images),
        "persons": int(labelled.people.counted.sum()),
        "metric": labelled.metric,
        "keypoints": labelled.skeleton.name,
        "area": labelled.people.area_source,
    }
    described = [opened.facts() for opened in models]
    for name, value in described[0].items():
        values = dict.fromkeys(shown(each[name]) for each in described)
        facts[name] = value if len(values) == 1 else " and ".join(values)
    return facts
