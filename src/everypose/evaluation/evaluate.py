"""The steps behind ``everypose evaluate``: from a model or a results file to a record.

1. The annotation files are parsed once into an ``AnnotatedSet``.
2. A model is run on its images (``predict``), or a results file is read.
3. The results are converted to arrays and scored (``scores``).
4. Numbers and protocol become a ``Record``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import everypose
from everypose.core.decoder_names import Decoder
from everypose.core.files import read_json, sha256
from everypose.data.discovery.layouts import Layout
from everypose.errors import UsageError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import BoxSource, model_sha256
from everypose.evaluation.coco_arrays import read_results
from everypose.evaluation.coco_schema import JsonObject
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.predict import predict_annotated_people, predict_images
from everypose.evaluation.report.record import Protocol, Record
from everypose.evaluation.scores import Scores, compute_scores
from everypose.inference.box_sources import DetectionsFile
from everypose.inference.device_choice import AUTO, DeviceChoice
from everypose.inference.loading import choose_device, load
from everypose.inference.top_down import as_top_down
from everypose.models.config import ModelConfig
from everypose.models.default_names import DEFAULT_DETECTOR
from everypose.models.identity import identify_model
from everypose.models.locate import resolve
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator

ProtocolFields = Mapping[str, str | bool]
"""Fields of ``Protocol`` that only the caller knows: data set, split, and how given predictions were made."""


@dataclass(frozen=True)
class Evaluation:
    """A record with what its report is drawn from.

    Attributes:
        record: numbers and protocol.
        scores: with the pairs of detections and people.
        annotated: the annotated people.
        results: the COCO results that were scored.
        image_root: the images' folder; None if it is not known.

    >>> import json
    >>> category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> content = {"images": [{"id": 1}], "annotations": [person], "categories": [category]}
    >>> _ = Path("truth.json").write_text(json.dumps(content))
    >>> detection = {"image_id": 1, "category_id": 1, "keypoints": [4, 5, 0.9], "score": 0.9}
    >>> _ = Path("poses.json").write_text(json.dumps([detection]))
    >>> evaluation = evaluate_predictions(Path("poses.json"), Path("truth.json"), sigmas=(0.1,))
    >>> evaluation.record.model, evaluation.scores.people
    ('poses.json', 1)
    """

    record: Record
    scores: Scores
    annotated: AnnotatedSet
    results: Sequence[JsonObject]
    image_root: Path | None


@dataclass(frozen=True)
class EvaluationSetup:
    """A loaded model and the annotated set that it is to be scored on, with equal keypoints.

    Attributes:
        estimator: reports every person with a positive score, because AP ranks all detections.
        annotated: the set; its skeleton has the sigmas to score with.
        boxes: where a top-down model's boxes come from.
        sha256: of the model's weights.
        flip: whether predictions are averaged with those of the mirror image.
        device: what the model runs on, and why.
        decoder: what replaces the decoder of a top-down model; None if it has its own.

    >>> layout = Layout((Path("people.json"),), Path(), None, None, "the given annotation file")
    >>> setup = prepare_evaluation("boir-lite", layout)
    >>> setup.config.name, setup.protocol_fields()["boxes"], setup.flip
    ('boir-lite', 'none', False)
    """

    estimator: "Estimator"
    annotated: AnnotatedSet
    boxes: BoxSource
    sha256: str
    flip: bool
    device: DeviceChoice
    decoder: Decoder | None = None

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.estimator.config

    def protocol_fields(self) -> dict[str, str | bool]:
        """The part of the protocol that depends on the model and its boxes."""
        if self.config.has_fixed_input:
            fixed = self.config.on_fixed_input
            size, boxes = f"{fixed.input_size.width} x {fixed.input_size.height}", "none"
            nms = "none" if fixed.nms is None else f"box IoU {fixed.nms:g}"
        elif not self.config.is_top_down:
            settings = self.config.on_images
            size, nms, boxes = f"short side {settings.size}", f"OKS {settings.nms:g}", "none"
        else:
            crops = self.config.on_crops
            width, height = crops.crop_size
            size, boxes = f"{width} x {height}", self.boxes.describe(DEFAULT_DETECTOR)
            rule = "soft OKS" if crops.soft_nms else "OKS"
            nms = "none" if crops.nms is None or self.annotated.one_prediction_per_person else f"{rule} {crops.nms:g}"
        fields: dict[str, str | bool] = {"boxes": boxes, "flip": self.flip, "input_size": size, "nms": nms}
        return fields if self.decoder is None else {**fields, "decoder": self.decoder}

    def notes(self) -> list[str]:
        """What a reader of the scores must know, after the model was run."""
        notes, estimator = self.annotated.notes(), as_top_down(self.estimator)
        if self.device.candidates:
            notes.append(f"the device auto was {self.device.device}: {self.device.reason}")
        if estimator is None:
            return notes
        file = estimator.detector
        if isinstance(file, DetectionsFile) and file.other_categories:
            notes.append(f"{file.other_categories} boxes of {file.path} are of other categories than person: not used")
        if estimator.dropped:
            notes.append(
                f"{estimator.dropped} boxes were not used: they have no area, lie outside their image or are too small"
            )
        return notes


def evaluate_predictions(
    predictions: Path,
    annotations: Path,
    *,
    image_root: Path | None = None,
    metric: Metric | None = None,
    skeleton: Skeleton | None = None,
    sigmas: tuple[float, ...] | None = None,
    protocol: ProtocolFields | None = None,
) -> Evaluation:
    """Score a results file against an annotation file.

    Args:
        predictions: COCO results list.
        annotations: COCO-format annotation file.
        image_root: where the images are, for the report.
        metric: default: the one that the data set is published with.
        skeleton: default: what the annotation file's category says.
        sigmas: K OKS sigmas that replace the skeleton's.
        protocol: what the caller knows of how the predictions were made.

    Raises:
        EveryposeError: if the files cannot be scored.

    >>> import json
    >>> category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> content = {"images": [{"id": 1}], "annotations": [person], "categories": [category]}
    >>> _ = Path("truth.json").write_text(json.dumps(content))
    >>> detection = {"image_id": 1, "category_id": 1, "keypoints": [4, 5, 0.9], "score": 0.9}
    >>> _ = Path("poses.json").write_text(json.dumps([detection]))
    >>> evaluation = evaluate_predictions(Path("poses.json"), Path("truth.json"), sigmas=(0.1,))
    >>> round(evaluation.record.numbers[""]["AP"], 3)
    1.0
    """
    layout = Layout((annotations,), image_root or annotations.parent, None, None, "the given annotation file")
    annotated = AnnotatedSet.read(layout, metric=metric, skeleton=skeleton).with_sigmas(sigmas)
    results = read_json(predictions)
    scores = compute_scores(annotated, read_results(results, annotated.ground_truth))
    record = Record(
        everypose=everypose.__version__,
        model=predictions.name,
        predictions_sha256=sha256(predictions),
        protocol=_protocol(scores, annotated, protocol or {}),
        numbers=scores.numbers,
        classes=scores.classes,
        keypoints=scores.keypoints,
        notes=scores.notes,
    )
    return Evaluation(record, scores, annotated, results, image_root)


def prepare_evaluation(model: str, layout: "Layout", options: EvaluationOptions | None = None) -> EvaluationSetup:
    """Read an annotated set and load a model to be scored on it; arguments and errors as ``evaluate_model``.

    >>> from everypose.core.files import write_json
    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> mouse = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2] * 2, "bbox": [0, 0, 10, 10]}
    >>> image = {"id": 1, "file_name": "a.jpg"}
    >>> write_json(Path("mice.json"), {"images": [image], "annotations": [mouse], "categories": [category]})
    >>> prepare_evaluation("boir-lite", Layout((Path("mice.json"),), Path(), None, None, "mice"))
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: boir-lite predicts the keypoints of coco, the data are annotated with ...
    """
    options = options or EvaluationOptions()
    annotated = AnnotatedSet.read(layout, metric=options.metric)
    device = DeviceChoice(device=options.device, reason="as given")
    if options.device == AUTO:
        device = choose_device(
            model, flip=options.flip, size=options.size, skeleton=options.skeleton, family=options.family
        )
    estimator = load(
        model,
        device=device.device,
        flip=options.flip,
        min_score=0.0,
        size=options.size,
        batch_size=options.batch_size,
        detector=options.boxes.open(annotated),
        box_threshold=options.boxes.detector_threshold,
        skeleton=options.skeleton,
        family=options.family,
        decoder=options.decoder,
    )
    annotated = annotated.for_model(model, estimator.skeleton, sigmas=options.sigmas)
    weights = model_sha256(resolve(model).path)
    return EvaluationSetup(estimator, annotated, options.boxes, weights, options.flip, device, options.decoder)


def evaluate_model(
    model: str,
    layout: "Layout",
    options: EvaluationOptions | None = None,
    *,
    protocol: ProtocolFields | None = None,
) -> Evaluation:
    """Run a model on a split of a data set and score its predictions.

    PCKh and the hand metrics take one prediction for each person, which only a top-down model in annotated boxes gives.

    Args:
        model: a known name, a folder, a file or a hub id.
        layout: the annotations and their images, see ``everypose.data.discovery.layouts.find_data``.
        options: how the model is run and scored.
        protocol: names of data set and split, for the record.

    Raises:
        EveryposeError: if the data or the model cannot be used, or their keypoints differ.

    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> evaluate_model("boir-lite", layout, EvaluationOptions(quiet=True)).record.numbers[""]["AP"]
    0.0
    """
    options = options or EvaluationOptions()
    setup = prepare_evaluation(model, layout, options)
    annotated = setup.annotated
    results = _predict(setup, quiet=options.quiet)
    scores = compute_scores(annotated, read_results(results, annotated.ground_truth))
    record = Record(
        everypose=everypose.__version__,
        model=setup.config.name,
        model_sha256=setup.sha256,
        model_revision=identify_model(model).revision,
        protocol=_protocol(scores, annotated, {**(protocol or {}), **setup.protocol_fields()}),
        numbers=scores.numbers,
        classes=scores.classes,
        keypoints=scores.keypoints,
        notes=[*setup.notes(), *scores.notes],
    )
    return Evaluation(record, scores, annotated, results, layout.image_root)


def annotations_sha256(paths: tuple[Path, ...]) -> str:
    """SHA-256 of an annotation file; of the hashes of several.

    >>> _ = Path("a.json").write_text("{}")
    >>> annotations_sha256((Path("a.json"),))[:8], annotations_sha256((Path("a.json"), Path("a.json")))[:8]
    ('44136fa3', '55fce15f')
    """
    hashes = [sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _predict(setup: EvaluationSetup, *, quiet: bool) -> Sequence[JsonObject]:
    """COCO results of the setup's model on its set."""
    estimator, annotated = setup.estimator, setup.annotated
    if not annotated.one_prediction_per_person:
        return predict_images(estimator, annotated, quiet=quiet)
    top_down = as_top_down(estimator)
    if top_down is None or not setup.boxes.is_ground_truth:
        raise UsageError(
            f"{annotated.skeleton.name} is scored by one prediction for each annotated person, which a model that"
            " detects people itself does not give: score a top-down model in the annotated boxes (--boxes truth),"
            " a results file with annotation_id (--predictions), or by OKS (--metric coco)"
        )
    return predict_annotated_people(top_down, annotated, quiet=quiet)


def _protocol(scores: Scores, annotated: AnnotatedSet, fields: ProtocolFields) -> Protocol:
    return Protocol.model_validate(
        {
            "metric": scores.metric,
            "annotations": annotations_sha256(annotated.layout.annotation_files),
            "images": scores.images,
            "persons": scores.people,
            "keypoints": annotated.skeleton.name,
            "sigmas": scores.sigmas,
            "area": scores.area,
            "detection_area": scores.detection_area,
            **fields,
        }
    )
