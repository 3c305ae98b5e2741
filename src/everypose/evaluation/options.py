"""How a model is run and scored: the options that ``evaluate`` and ``study`` share."""

from dataclasses import dataclass, field

from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.metrics.metric import Metric


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation; the defaults are those of the command line.

    Attributes:
        metric: default: the one that the data set is published with.
        sigmas: K OKS sigmas that replace those of the data or of the model.
        flip: average the predictions of the image and of its mirror image (test-time flip augmentation).
        device: where the model runs: cpu, cuda, cuda:N, openvino.
        size: short side of a single-stage model's input in pixels; default: the model's own.
        batch_size: images in a batch; default: the fastest.
        boxes: where a top-down model's boxes come from; not for single-stage models.
        skeleton: of a model of several data sets, which skeleton it predicts; default: its first.
        quiet: show no progress bar.
    """

    metric: Metric | None = None
    sigmas: tuple[float, ...] | None = None
    flip: bool = False
    device: str = "cpu"
    size: int | None = None
    batch_size: int | None = None
    boxes: BoxSource = field(default_factory=BoxSource)
    skeleton: str | None = None
    quiet: bool = False
