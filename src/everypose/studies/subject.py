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

    >>> from types import SimpleNamespace
    >>> setup = SimpleNamespace(estimator=None, config=SimpleNamespace(name="boir-lite"))
    >>> require_top_down(setup)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: boir-lite finds people by itself: this study needs a top-down model
    """
    estimator = as_top_down(setup.estimator)
    if estimator is None:
        raise UsageError(f"{setup.config.name} finds people by itself: this study needs a top-down model")
    if setup.annotated.one_prediction_per_person:
        raise UsageError(f"{setup.annotated.skeleton.name} is not scored by OKS, which this study needs")
    return estimator


def labels_of(models: Sequence[EvaluationSetup]) -> list[str]:
    """A distinct label for each model.

    >>> from types import SimpleNamespace
    >>> setup = SimpleNamespace(config=SimpleNamespace(name="boir-lite"))
    >>> labels_of([setup, setup])
    ['boir-lite (1)', 'boir-lite (2)']
    """
    return distinct([setup.config.name for setup in models])


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to those that are repeated.

    >>> distinct(["a", "b", "a"])
    ['a (1)', 'b', 'a (3)']
    """
    return [name if names.count(name) == 1 else f"{name} ({position})" for position, name in enumerate(names, start=1)]


def facts_of(models: Sequence[EvaluationSetup]) -> dict[str, Any]:
    """The models and the protocol; values in which the models differ are listed for both.

    >>> from pathlib import Path
    >>> from everypose.core.files import write_json
    >>> from everypose.data.discovery.layouts import Layout
    >>> from everypose.evaluation.evaluate import prepare_evaluation
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> category = {"id": 1, "name": "person", "keypoints": list(Skeleton.named("coco").keypoints)}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2] * 17, "bbox": [0, 0, 10, 10]}
    >>> image = {"id": 1, "file_name": "a.jpg"}
    >>> write_json(Path("gt.json"), {"images": [image], "annotations": [person], "categories": [category]})
    >>> layout = Layout((Path("gt.json"),), Path(), None, None, "the given file")
    >>> facts = facts_of([prepare_evaluation("boir-lite", layout)])
    >>> facts["boxes"], facts["flip"]
    ('none', False)
    """
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
