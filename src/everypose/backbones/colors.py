"""The colors that a backbone was trained on: which numbers stand for a pixel's red, green and blue."""

from typing import NamedTuple

import torch
from torch import Tensor


class Colors(NamedTuple):
    """Mean and spread of red, green and blue, as shares of 255, that become 0 and 1.

    Where convolutions pad with 0, they see the mean beyond the border.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Colors((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalize(images: Tensor, colors: Colors = IMAGENET, bgr: bool = False) -> Tensor:
    """uint8 RGB (B, H, W, 3) to (B, 3, H, W) float32 in a network's colors and channel order.

    A network for BGR gets the mean and spread of RGB nevertheless, as released.
    """
    mean = torch.tensor(colors.mean, device=images.device) * 255
    scale = 1 / (torch.tensor(colors.std, device=images.device) * 255)
    channels = images.flip(-1) if bgr else images
    return ((channels.float() - mean) * scale).permute(0, 3, 1, 2)
