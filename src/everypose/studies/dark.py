"""Decoding by the quarter offset and by DARK (MIPNet, Table 6, its first row): the same weights, the same crops."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from everypose.errors import UsageError
from everypose.evaluation.annotated_set import LabelledSet
from everypose.evaluation.box_poses import box_results
from everypose.evaluation.box_source import BoxSource, model_sha256
from everypose.evaluation.evaluate import Opened, fitting
from everypose.evaluation.predict import predict_boxes
from everypose.evaluation.report.tables import percent
from everypose.inference.loading import DEFAULT_DETECTOR, find_detector
from everypose.inference.runtimes.onnx import CropRuntime
from everypose.inference.runtimes.torch import TorchCropRuntime
from everypose.inference.single_stage import TOGETHER
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.decoding import Decoder
from everypose.models.config import ModelConfig
from everypose.studies.chart import line_chart
from everypose.studies.networks import read_top_down
from everypose.studies.report import Study
from everypose.studies.subject import facts_of, require_top_down

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout

DECODERS: tuple[Decoder, ...] = ("quarter", "dark")


class SideBySide:
    """Several runtimes of one network as one: all instances by the first, then all by the second."""

    def __init__(self, runtimes: Sequence[CropRuntime]) -> None:
        self._runtimes = runtimes

    def run(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See :class:`everypose.inference.runtimes.onnx.CropRuntime`."""
        return np.concatenate([runtime.run(crops) for runtime in self._runtimes], axis=1)


def open_decoders(
    model: str,
    layout: "Layout",
    sigmas: tuple[float, ...] | None = None,
    flip: bool = False,
    device: str = "cpu",
    batch_size: int | None = None,
    boxes: BoxSource | None = None,
) -> Opened:
    """As `everypose.evaluation.evaluate.open_model`, with the instances of `DECODERS` side by side.

    Raises:
        UsageError: also when the model decodes by UDP, whose crops only its own decoder fits.
    """
    network, config, file = read_top_down(model)
    if config.on_crops.decoder == "udp":
        raise UsageError(
            f"{config.name} has UDP's crops, which go with its own form of DARK: there is nothing to compare"
        )
    labelled, boxes = LabelledSet.read(layout), boxes or BoxSource()
    detector = find_detector(boxes.open(labelled) or DEFAULT_DETECTOR, boxes.detector_threshold, device)
    runtimes = [TorchCropRuntime.of(network, with_decoder(config, each), device, flip) for each in DECODERS]
    estimator = TopDownEstimator(SideBySide(runtimes), config, detector, 0.0, batch_size or TOGETHER)
    labelled = fitting(labelled, model, estimator.skeleton, sigmas)
    return Opened(estimator, labelled, boxes, model_sha256(file.path), flip)


def with_decoder(config: ModelConfig, decoder: Decoder) -> ModelConfig:
    """The configuration with another decoder."""
    return config.model_copy(update={"inference": config.on_crops.model_copy(update={"decoder": decoder})})


def study_dark(opened: Opened, quiet: bool = False) -> Study:
    """The study, of a model opened by `open_decoders`."""
    estimator = require_top_down(opened)
    looked = predict_boxes(estimator, opened.labelled, quiet)
    rows = []
    for number, decoder in enumerate(DECODERS):
        images = []
        for image_id, category, poses in looked:
            instances = poses.keypoints.shape[1] // len(DECODERS)
            which = slice(number * instances, (number + 1) * instances)
            images.append((image_id, category, poses.instances(which)))
        scores = opened.labelled.scores(box_results(estimator, images))
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
            DECODERS,
            {name: [100 * float(row[name]) for row in rows] for name in ("AP", "AP50", "AP75", "AR")},
        ),
        facts=facts_of([opened]),
        notes=opened.notes(),
    )
