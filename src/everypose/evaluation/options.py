"""How a model is run and scored: the options that ``evaluate`` and ``study`` share."""

from dataclasses import dataclass, field

from everypose.core.decoder_names import Decoder
from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.run_settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(RunSettings):
    """Options of an evaluation: :class:`RunSettings`, and how the model is scored.

    Attributes:
        metric: default: the one that the data set is published with.
        sigmas: K OKS sigmas that replace those of the data or of the model.
        size: short side of a single-stage model's input in pixels; default: the model's own.
        boxes: where a top-down model's boxes come from; not for single-stage models.
        skeleton: of a model of several data sets, which skeleton it predicts; default: its first.
        family: of an ``.onnx`` file of another project that is not recognized.
        decoder: how a top-down model's heatmaps become keypoints, on crops of its convention; default: the model's own.

    >>> EvaluationOptions(flip=True).boxes
    BoxSource(boxes=None, detector=None, threshold=None)
    """

    metric: Metric | None = None
    sigmas: tuple[float, ...] | None = None
    size: int | None = None
    boxes: BoxSource = field(default_factory=BoxSource)
    skeleton: str | None = None
    family: str | None = None
    decoder: Decoder | None = None
