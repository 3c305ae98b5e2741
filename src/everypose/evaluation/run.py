"""From files or a model to a record: the steps behind ``everypose evaluate``."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import everypose
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.coco_file import require_coco
from everypose.evaluation.instances import Truth, category_of_images, read_truth
from everypose.evaluation.measure import Measured, choose_metric, measure
from everypose.evaluation.predictions import predict_images
from everypose.evaluation.record import Metric, Protocol, Record
from everypose.files import read_json, sha256
from everypose.models import WEIGHTS_FILE, resolve
from everypose.skeleton import Skeleton, require_same_places

if TYPE_CHECKING:
    from everypose.data.layouts import Layout

STATABLE = ("dataset", "split", "boxes", "flip", "input_size", "nms")


@dataclass
class Evaluation:
    """A record with what its report is drawn from."""

    record: Record
    measured: Measured
    skeleton: Skeleton
    results: list[dict[str, Any]]
    image_root: Path | None


def evaluate_predictions(
    predictions: Path,
    annotations: Path,
    image_root: Path | None = None,
    metric: Metric | None = None,
    skeleton: Skeleton | None = None,
    sigmas: tuple[float, ...] | None = None,
    stated: dict[str, Any] | None = None,
) -> Evaluation:
    """Score a results file against an annotation file.

    Args:
        predictions: COCO results list.
        annotations: COCO-format annotation file.
        image_root: where the images are, for the report.
        metric: default: the one that such a data set is published with.
        skeleton: default: what the annotation file's category says.
        sigmas: instead of the skeleton's.
        stated: what the caller knows of the protocol; see ``parse_stated``.

    Raises:
        EveryposeError: for files that cannot be scored.
    """
    truth = _read_truth(annotations)
    results = read_json(predictions)
    if skeleton is not None:
        for category in truth.get("categories", []):
            require_same_places(category.get("keypoints", ()), skeleton, str(annotations))
    chosen = with_sigmas(skeleton or skeleton_of(truth, annotations), sigmas, metric)
    measured = measure(truth, results, chosen, metric)
    record = Record(
        everypose=everypose.__version__,
        model=predictions.name,
        predictions_sha256=sha256(predictions),
        protocol=_protocol(measured, chosen, sha256(annotations), stated or {}),
        numbers=measured.numbers,
        classes=measured.classes,
        keypoints=measured.keypoints,
        notes=measured.notes,
    )
    return Evaluation(record, measured, chosen, results, image_root)


def evaluate_model(
    model: str,
    layout: "Layout",
    stated: dict[str, Any],
    metric: Metric | None = None,
    sigmas: tuple[float, ...] | None = None,
    flip: bool = False,
    device: str = "cpu",
    batch_size: int = 4,
    quiet: bool = False,
) -> Evaluation:
    """Run a model on a split of a data set and score what it finds; it is given no boxes.

    Args:
        model: a known name, a folder, a file or a hub id.
        layout: the annotations and their images, see ``everypose.data.layouts.find_data``.
        stated: what the data set and the split are called, for the record.
        metric: one of OKS; default: the one that such a data set is published with.
        sigmas: instead of the data's, which are the model's where the data have none.
        flip: average in the mirrored image.
        device: where the model runs.
        batch_size: images that go through at once.
        quiet: no progress.

    Raises:
        EveryposeError: when data or model cannot be used, or their keypoints differ.
    """
    from everypose.inference.loading import load

    truth = _joined([_read_truth(path) for path in layout.annotation_files])
    # All that the model finds counts: AP looks at the ranking, and has no threshold to choose.
    estimator = load(model, device=device, flip=flip, min_score=0.0, batch_size=batch_size)
    skeleton = (
        Skeleton.named(layout.skeleton_name) if layout.skeleton_name else skeleton_of(truth, layout.annotation_file)
    )
    if estimator.skeleton.keypoints != skeleton.keypoints:
        raise UsageError(
            f"{model} finds the keypoints of {estimator.skeleton.name}, the data have those of {skeleton.name}:"
            " a score needs the same keypoints in the same order"
        )
    if skeleton.sigmas is None:
        skeleton = replace(skeleton, sigmas=estimator.skeleton.sigmas)
    skeleton = with_sigmas(skeleton, sigmas)
    if (metric or choose_metric(skeleton, truth)) in ("pckh", "hand"):
        raise UsageError(
            f"{skeleton.name} is scored by one prediction for each annotated person, which a model that finds people by"
            " itself does not give: score a results file with annotation_id (--predictions), or by OKS (--metric coco)"
        )
    people = read_truth(truth, len(skeleton))
    categories = category_of_images(people)
    results = predict_images(estimator, truth["images"], layout.image_root, categories, quiet)
    measured = measure(truth, results, skeleton, metric)
    settings = estimator.config.inference
    stated = {
        **stated,
        "boxes": "none",
        "flip": flip,
        "input_size": f"short side {settings.size}",
        "nms": f"OKS {settings.nms:g}",
    }
    record = Record(
        everypose=everypose.__version__,
        model=estimator.config.name,
        model_sha256=_model_sha256(resolve(model).path),
        protocol=_protocol(measured, skeleton, _annotations_sha256(layout.annotation_files), stated),
        numbers=measured.numbers,
        classes=measured.classes,
        keypoints=measured.keypoints,
        notes=[*_notes(layout, people, categories), *measured.notes],
    )
    return Evaluation(record, measured, skeleton, results, layout.image_root)


def _notes(layout: "Layout", people: Truth, categories: dict[Any, int]) -> list[str]:
    """What a reader must know of how the data were found and taken."""
    notes = [f"data: {layout.description}"]
    if len(set(categories.values())) > 1:
        unknown = len(people.image_ids) - len(categories)
        notes.append(
            "the model names no category: what it finds in an image counts as the category of those labelled there"
            + (f"; {unknown} images without anyone labelled are left out" if unknown else "")
        )
    return notes


def parse_stated(pairs: list[str], statable: tuple[str, ...] = STATABLE) -> dict[str, Any]:
    """``["boxes=ground truth", "flip=yes"]`` as protocol fields, those in ``statable``.

    Raises:
        UsageError: for a field that cannot be stated.
    """
    stated: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in statable:
            raise UsageError(f"--state {pair!r} must be FIELD=VALUE with one of {', '.join(statable)}")
        if name == "flip" and value not in ("yes", "no"):
            raise UsageError(f"--state {pair!r}: flip is yes or no")
        stated[name] = value == "yes" if name == "flip" else value
    return stated


def parse_sigmas(text: str) -> tuple[float, ...]:
    """Sigmas from ``0.026,0.025,...`` or from a JSON file with a list of them.

    Raises:
        UsageError: when they are no positive numbers.
    """
    try:
        values = read_json(Path(text)) if text.endswith(".json") else text.split(",")
        sigmas = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the sigmas {text!r} must be numbers, 0.026,0.025,... or a JSON file with a list") from error
    if not all(0 < sigma < 1 for sigma in sigmas):
        raise UsageError(f"the sigmas {text!r}: each must lie between 0 and 1 (COCO's are 0.025 to 0.107)")
    return sigmas


def with_sigmas(skeleton: Skeleton, sigmas: tuple[float, ...] | None, metric: Metric | None = None) -> Skeleton:
    """The skeleton with other sigmas where they are given.

    Raises:
        EveryposeError: when the metric is one of OKS and no sigmas are known.
        UsageError: when there are too many or too few.
    """
    if sigmas is None:
        if skeleton.sigmas is None and (metric or choose_metric(skeleton, {})) not in ("pckh", "hand"):
            skeleton.require_sigmas()
        return skeleton
    if len(sigmas) != len(skeleton):
        raise UsageError(f"{len(sigmas)} sigmas are given, the skeleton {skeleton.name} has {len(skeleton)}")
    return replace(skeleton, sigmas=sigmas)


def skeleton_of(truth: dict[str, Any], path: Path) -> Skeleton:
    """The skeleton that the annotation file's category describes; a known one where the names are the same.

    Raises:
        EveryposeError: when no category lists its keypoints.
    """
    from everypose.skeleton import recognise

    described = [category for category in truth.get("categories", []) if category.get("keypoints")]
    if not described:
        raise EveryposeError(f"no category of {path} lists its keypoints; name the skeleton with --skeleton")
    names = tuple(described[0]["keypoints"])
    parts = any("foot_kpts" in annotation for annotation in truth["annotations"])
    if parts and len(names) == 17:
        return Skeleton.named("coco_wholebody")
    return recognise(names) or Skeleton.from_coco_category(described[0])


def _read_truth(path: Path) -> dict[str, Any]:
    truth = read_json(path)
    if isinstance(truth, list):
        raise EveryposeError(f"{path} is a list, not a COCO-format file; 'everypose data convert' makes one of MPII's")
    require_coco(truth, str(path))
    content: dict[str, Any] = truth
    return content


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several annotation files of one data set as one; doubled ids show when they are read."""
    joined = dict(parts[0])
    joined["images"] = [image for part in parts for image in part["images"]]
    joined["annotations"] = [annotation for part in parts for annotation in part["annotations"]]
    return joined


def _protocol(measured: Measured, skeleton: Skeleton, annotations: str, stated: dict[str, Any]) -> Protocol:
    return Protocol(
        metric=measured.metric,
        annotations=annotations,
        images=measured.images,
        persons=measured.persons,
        keypoints=skeleton.name,
        sigmas=measured.sigmas,
        area=measured.area,
        detection_area=measured.detection_area,
        **stated,
    )


def _annotations_sha256(paths: tuple[Path, ...]) -> str:
    hashes = [sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _model_sha256(path: Path) -> str:
    """Of the file; of a model's folder, that of its weights."""
    return sha256(path / WEIGHTS_FILE if path.is_dir() else path)
