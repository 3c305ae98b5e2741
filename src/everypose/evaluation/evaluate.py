"""From files or a model to a record: the steps behind ``everypose evaluate``."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import everypose
from everypose.core.files import read_json, sha256
from everypose.errors import UsageError
from everypose.evaluation.annotated_set import LabelledSet, read_truth_file, skeleton_of
from everypose.evaluation.box_source import BoxSource, model_sha256
from everypose.evaluation.predict import predict_annotated, predict_images
from everypose.evaluation.report.record import Metric, Protocol, Record
from everypose.evaluation.scores import Measured, choose_metric, measure
from everypose.inference.box_sources import DetectionsFile
from everypose.inference.loading import DEFAULT_DETECTOR, load
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig
from everypose.models.locate import resolve
from everypose.skeleton.matching import require_same_places
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout
    from everypose.inference.estimator import Estimator

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
    truth = read_truth_file(annotations)
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


@dataclass(frozen=True)
class Opened:
    """A model and the labelled set that it is to be measured on, which fit each other.

    Attributes:
        estimator: finds whoever has a positive score: AP looks at the ranking, and has no threshold to choose.
        labelled: the set; its skeleton has the sigmas to score with.
        boxes: where a top-down model has its boxes from.
        sha256: of the model's weights.
        flip: whether the mirrored image is averaged in.
    """

    estimator: "Estimator"
    labelled: LabelledSet
    boxes: BoxSource
    sha256: str
    flip: bool

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.estimator.config

    def facts(self) -> dict[str, Any]:
        """The part of the protocol that the model and its boxes decide."""
        if not self.config.is_top_down:
            settings = self.config.on_images
            size, nms, boxes = f"short side {settings.size}", f"OKS {settings.nms:g}", "none"
        else:
            crops = self.config.on_crops
            width, height = crops.crop_size
            size, boxes = f"{width} x {height}", self.boxes.describe(DEFAULT_DETECTOR)
            rule = "soft OKS" if crops.soft_nms else "OKS"
            nms = "none" if crops.nms is None or self.labelled.one_for_each else f"{rule} {crops.nms:g}"
        return {"boxes": boxes, "flip": self.flip, "input_size": size, "nms": nms}

    def notes(self) -> list[str]:
        """What a reader of the scores must know, once the model has run."""
        notes, estimator = self.labelled.notes(), self.estimator
        if not isinstance(estimator, TopDownEstimator):
            return notes
        file = estimator.detector
        if isinstance(file, DetectionsFile) and file.other_categories:
            notes.append(
                f"{file.other_categories} boxes of {file.path} are of other categories than people's: not used"
            )
        if estimator.dropped:
            notes.append(
                f"{estimator.dropped} boxes were left out, which have no area, lie outside their image or are too small"
            )
        return notes


def open_model(
    model: str,
    layout: "Layout",
    metric: Metric | None = None,
    sigmas: tuple[float, ...] | None = None,
    flip: bool = False,
    device: str = "cpu",
    size: int | None = None,
    batch_size: int | None = None,
    boxes: BoxSource | None = None,
    skeleton: str | None = None,
) -> Opened:
    """Read a labelled set and load a model to be measured on it; arguments and errors as `evaluate_model`."""
    labelled, boxes = LabelledSet.read(layout, metric), boxes or BoxSource()
    estimator = load(
        model,
        device=device,
        flip=flip,
        min_score=0.0,
        size=size,
        batch_size=batch_size,
        detector=boxes.open(labelled),
        box_threshold=boxes.detector_threshold,
        skeleton=skeleton,
    )
    labelled = fitting(labelled, model, estimator.skeleton, sigmas)
    return Opened(estimator, labelled, boxes, model_sha256(resolve(model).path), flip)


def fitting(
    labelled: LabelledSet, model: str, skeleton: Skeleton, sigmas: tuple[float, ...] | None = None
) -> LabelledSet:
    """The set with sigmas to score with: those given, or its own, or those of the model's skeleton.

    Raises:
        UsageError: when the model finds other keypoints.
    """
    own = labelled.skeleton
    if skeleton.keypoints != own.keypoints:
        raise UsageError(
            f"{model} finds the keypoints of {skeleton.name}, the data have those of {own.name}:"
            " a score needs the same keypoints in the same order"
        )
    if own.sigmas is None:
        own = replace(own, sigmas=skeleton.sigmas)
    return replace(labelled, skeleton=with_sigmas(own, sigmas, labelled.metric))


def evaluate_model(
    model: str,
    layout: "Layout",
    stated: dict[str, Any],
    metric: Metric | None = None,
    sigmas: tuple[float, ...] | None = None,
    flip: bool = False,
    device: str = "cpu",
    size: int | None = None,
    batch_size: int | None = None,
    boxes: BoxSource | None = None,
    skeleton: str | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Run a model on a split of a data set and score what it finds.

    Args:
        model: a known name, a folder, a file or a hub id.
        layout: the annotations and their images, see ``everypose.data.discovery.layouts.find_data``.
        stated: what the data set and the split are called, for the record.
        metric: default: the one that such a data set is published with. PCKh and the hand scores take one prediction
            for each person, which only a top-down model in annotated boxes gives.
        sigmas: instead of the data's, which are the model's where the data have none.
        flip: average in the mirrored image.
        device: where the model runs.
        size: the short side at which a single-stage model sees an image, in pixels; default: its own.
        batch_size: images that go through at once; by default what is fastest.
        boxes: where a top-down model has its boxes from; a single-stage model is given none.
        skeleton: of a model of several data sets, the one whose keypoints it shall find; default: its first.
        quiet: no progress.

    Raises:
        EveryposeError: when data or model cannot be used, or their keypoints differ.
    """
    opened = open_model(model, layout, metric, sigmas, flip, device, size, batch_size, boxes, skeleton)
    estimator, labelled = opened.estimator, opened.labelled
    if labelled.one_for_each:
        if not (isinstance(estimator, TopDownEstimator) and opened.boxes.is_truth):
            raise UsageError(
                f"{labelled.skeleton.name} is scored by one prediction for each annotated person, which a model that"
                " finds people by itself does not give: score a top-down model in the annotated boxes (--boxes truth),"
                " a results file with annotation_id (--predictions), or by OKS (--metric coco)"
            )
        results = predict_annotated(estimator, labelled, quiet)
    else:
        results = predict_images(estimator, labelled, quiet)
    measured = measure(labelled.truth, results, labelled.skeleton, labelled.metric)
    hashes = annotations_sha256(layout.annotation_files)
    record = Record(
        everypose=everypose.__version__,
        model=opened.config.name,
        model_sha256=opened.sha256,
        protocol=_protocol(measured, labelled.skeleton, hashes, {**stated, **opened.facts()}),
        numbers=measured.numbers,
        classes=measured.classes,
        keypoints=measured.keypoints,
        notes=[*opened.notes(), *measured.notes],
    )
    return Evaluation(record, measured, labelled.skeleton, results, layout.image_root)


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


def annotations_sha256(paths: tuple[Path, ...]) -> str:
    """Of the file, or of the hashes of several."""
    hashes = [sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
