"""Decoding by the quarter offset and by DARK (MIPNet, Table 6, first row): the same weights and crops."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from everypose.core.arrays import Float32, Image, Mask
from everypose.core.decoder_names import Decoder
from everypose.errors import UsageError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import model_sha256
from everypose.evaluation.evaluate import EvaluationSetup
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.predict import box_pose_results, predict_box_poses
from everypose.evaluation.report.tables import percent
from everypose.inference.detectors import find_detector
from everypose.inference.device_choice import AUTO, DeviceChoice
from everypose.inference.loading import choose_device
from everypose.inference.runtimes.protocols import CropRuntime
from everypose.inference.runtimes.torch import TorchCropRuntime
from everypose.inference.single_stage import TOGETHER
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig
from everypose.models.default_names import DEFAULT_DETECTOR
from everypose.studies.chart import line_chart
from everypose.studies.networks import read_top_down
from everypose.studies.report import Study
from everypose.studies.subject import facts_of, require_top_down

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout

DECODERS: tuple[Decoder, ...] = ("quarter", "dark", "dark-17")
"""``dark`` smooths with 11 cells, as MIPNet's code at any size; ``dark-17`` with 17, as DARK's own at 384 x 288."""


class _ConcatenatedRuntimes:
    """Several runtimes as one: all instances by the first, then all by the second, concatenated along axis 1."""

    def __init__(self, runtimes: Sequence[CropRuntime]) -> None:
        self._runtimes = runtimes

    def run(self, crops: Image, with_others: Mask | None = None) -> Float32:
        """See :class:`everypose.inference.runtimes.protocols.CropRuntime`."""
        return np.concatenate([runtime.run(crops, with_others) for runtime in self._runtimes], axis=1)


def open_decoders(model: str, layout: "Layout", options: EvaluationOptions) -> EvaluationSetup:
    """Prepare an evaluation whose estimator returns the instances of each of ``DECODERS``.

    Arguments and errors as ``everypose.evaluation.evaluate.prepare_evaluation``.

    Raises:
        UsageError: also if the model decodes by UDP, whose crops fit only its own decoder.

    >>> from pathlib import Path
    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("gt.json"),), Path("images"), None, None, "the given file")
    >>> open_decoders("mipnet-lite", layout, EvaluationOptions())  # an exported model has one decoder
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: mipnet-lite.onnx is exported, which fixes selectors and decoder: give ...
    """
    network, config, file = read_top_down(model)
    if config.on_crops.decoder.startswith("udp"):
        raise UsageError(
            f"{config.name} has UDP's crops, which only UDP's own form of DARK decodes: there is nothing to compare"
        )
    annotated, boxes = AnnotatedSet.read(layout, metric=options.metric), options.boxes
    detector = find_detector(boxes.open(annotated) or DEFAULT_DETECTOR, boxes.detector_threshold, device=options.device)
    chosen = DeviceChoice(device=options.device, reason="as given")
    if options.device == AUTO:
        chosen = choose_device(model, flip=options.flip)
    runtimes = [
        TorchCropRuntime(network, with_decoder(config, each), device=chosen.device, flip=options.flip)
        for each in DECODERS
    ]
    estimator = TopDownEstimator(_ConcatenatedRuntimes(runtimes), config, detector, 0.0, options.batch_size or TOGETHER)
    annotated = annotated.for_model(model, estimator.skeleton, sigmas=options.sigmas)
    return EvaluationSetup(estimator, annotated, boxes, model_sha256(file.path), options.flip, chosen)


def with_decoder(config: ModelConfig, decoder: Decoder) -> ModelConfig:
    """The configuration with another decoder.

    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = TopDownInference(crop_size=(192, 256))
    >>> config = ModelConfig(
    ...     name="m", network=HRNetPoseSettings(), skeleton=Skeleton.named("coco"), inference=inference
    ... )
    >>> with_decoder(config, "dark").on_crops.decoder
    'dark'
    """
    return config.model_copy(update={"inference": config.on_crops.with_decoder(decoder)})


def study_dark(setup: EvaluationSetup, *, quiet: bool = False) -> Study:
    """Run the study with a model prepared by ``open_decoders``.

    Raises:
        UsageError: if the model is single-stage or the data are not scored by OKS.

    >>> from types import SimpleNamespace
    >>> setup = SimpleNamespace(estimator=None, config=SimpleNamespace(name="boir-lite"))
    >>> study_dark(setup)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: boir-lite finds people by itself: this study needs a top-down model
    """
    estimator = require_top_down(setup)
    images = predict_box_poses(estimator, setup.annotated, quiet=quiet)
    rows: list[dict[str, str | float]] = []
    for number, decoder in enumerate(DECODERS):
        decoded = []
        for image in images:
            instances = image.poses.keypoints.shape[1] // len(DECODERS)
            which = slice(number * instances, (number + 1) * instances)
            decoded.append(replace(image, poses=image.poses.instances(which)))
        scores = setup.annotated.score_oks(box_pose_results(estimator, decoded))
        rows.append({"decoder": decoder, **scores.numbers()})
    numbers = [name for name in rows[0] if name != "decoder"]
    return Study(
        name="dark",
        title="Decoding by the quarter offset and by DARK",
        columns={"decoder": str, **dict.fromkeys(numbers, percent)},
        rows=rows,
        picture=line_chart(
            "decoder",
            "percent",
            places=DECODERS,
            lines={name: [100 * float(row[name]) for row in rows] for name in ("AP", "AP50", "AP75", "AR")},
        ),
        facts=facts_of([setup]),
        notes=setup.notes(),
    )
