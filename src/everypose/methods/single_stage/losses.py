"""Losses and their helpers that CID and BoIR share."""

import torch
import torch.distributed
from torch import Tensor

SMALLEST_PROBABILITY = 1e-4


def probabilities(logits: Tensor) -> Tensor:
    """Sigmoid clamped to [1e-4, 1 - 1e-4], in float32 even under mixed precision."""
    return logits.float().sigmoid().clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


def over_processes(count: Tensor) -> Tensor:
    """The sum of ``count`` over all training processes.

    Losses divide by it, so that several processes give the loss of one process with all their images: the average of
    their gradients is then the gradient of the whole batch.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        count = count.detach().clone()
        torch.distributed.all_reduce(count)
    return count


def focal_loss(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """CornerNet's focal loss (alpha 2, beta 4), divided by the number of positives that the mask leaves.

    Args:
        predicted: (N, C, h, w) probabilities, float32.
        truth: (N, C, h, w) Gaussian peaks; a positive is a pixel that equals 1.
        mask: broadcastable to the others; 0 at pixels that are ignored in the loss.

    Returns:
        A scalar; 0 when N is 0. Not divided when there is no positive.
    """
    positive = (truth == 1).float() * mask
    hit = predicted.log() * (1 - predicted) ** 2 * positive
    miss = (1 - predicted).log() * predicted**2 * (1 - truth) ** 4 * (mask - positive)
    return -(hit + miss).sum() / over_processes(positive.sum()).clamp(min=1)


def instance_slots(instance_image: Tensor, images: int) -> Tensor:
    """Each instance's running number in its own image: (I,) image indices, ascending, to (I,).

    Computed without a look at the values from the host.
    """
    counts = torch.zeros(images, dtype=torch.long, device=instance_image.device)
    counts.scatter_add_(0, instance_image, torch.ones_like(instance_image))
    first = counts.cumsum(0) - counts
    return torch.arange(len(instance_image), device=instance_image.device) - first[instance_image]
