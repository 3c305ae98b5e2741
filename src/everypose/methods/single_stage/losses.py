"""Losses of CID and BoIR, and their helpers."""

import torch
from torch import Tensor

SMALLEST_PROBABILITY = 1e-4


def probabilities(logits: Tensor) -> Tensor:
    """Apply a sigmoid, clamped to [1e-4, 1 - 1e-4], in float32 even under mixed precision."""
    return logits.float().sigmoid().clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


def focal_loss(predicted: Tensor, truth: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """Compute CornerNet's focal loss (alpha 2, beta 4), divided by the number of positives in the mask.

    Args:
        predicted: (N, C, h, w) probabilities, float32.
        truth: (N, C, h, w) Gaussian peaks; a positive is a pixel that equals 1.
        mask: broadcastable to the others; pixels that are 0 are ignored.
        count: the number to divide by, instead of the batch's positives.

    Returns:
        A scalar; 0 when N is 0. Not divided when there is no positive.
    """
    positive = (truth == 1).float() * mask
    hit = predicted.log() * (1 - predicted) ** 2 * positive
    miss = (1 - predicted).log() * predicted**2 * (1 - truth) ** 4 * (mask - positive)
    return -(hit + miss).sum() / (positive.sum().clamp(min=1) if count is None else count)


def instance_slots(instance_image: Tensor, images: int) -> Tensor:
    """Number the instances of each image: (I,) image indices, ascending, to (I,).

    The host does not wait for values of the device.
    """
    counts = torch.zeros(images, dtype=torch.long, device=instance_image.device)
    counts.scatter_add_(0, instance_image, torch.ones_like(instance_image))
    first = counts.cumsum(0) - counts
    return torch.arange(len(instance_image), device=instance_image.device) - first[instance_image]
