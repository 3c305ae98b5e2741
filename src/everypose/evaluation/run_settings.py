"""How a model is run in an evaluation: fields that the command line and Python share. Imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a model is run.

    Attributes:
        flip: average the predictions of the image and of its mirror image (test-time flip augmentation).
        device: where the model runs: cpu, cuda, cuda:N, openvino, openvino:bf16 or auto.
        batch_size: images in a batch; default: the fastest.
        quiet: show no progress bar.

    Example:
        >>> RunSettings(flip=True).device
        'cpu'
    """

    flip: bool = False
    device: str = "cpu"
    batch_size: int | None = None
    quiet: bool = False
