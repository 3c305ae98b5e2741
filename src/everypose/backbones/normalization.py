"""Input normalization: uint8 pixels to the float32 channels that a network was trained on."""

from typing import NamedTuple

import torch
from torch import Tensor


class Normalization(NamedTuple):
    """Mean and standard deviation of the input's channels, red, green and blue, with pixels from 0 to 1.

    Convolutions that pad with 0 pad with the mean.

    Attributes:
        mean: is subtracted.
        std: is divided by.

    Example:
        >>> Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).std
        (0.5, 0.5, 0.5)
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The normalization of networks that were pretrained on ImageNet."""


def normalize(images: Tensor, normalization: Normalization = IMAGENET, bgr: bool = False) -> Tensor:
    """Normalize uint8 RGB images (B, H, W, 3) to float32 (B, 3, H, W).

    >>> images = torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)
    >>> normalize(images, Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))).unique()
    tensor([1.])

    Args:
        images: (B, H, W, 3) uint8 RGB.
        normalization: mean and standard deviation.
        bgr: whether the network takes BGR; the values of ``normalization`` are applied in its order all the same, as
            in the released code.

    Returns:
        (B, 3, H, W) float32.
    """
    mean = torch.tensor([[[value]] for value in normalization.mean], device=images.device) * 255
    scale = 1 / (torch.tensor([[[value]] for value in normalization.std], device=images.device) * 255)
    # Moved first, as bytes: ONNX Runtime is slow at arithmetic whose last axis has three numbers.
    channels = (images.flip(-1) if bgr else images).permute(0, 3, 1, 2)
    return (channels.float() - mean) * scale
