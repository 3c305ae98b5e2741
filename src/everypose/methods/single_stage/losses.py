"""Losses of CID and BoIR, and their helpers."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST_PROBABILITY = 1e-4
_IN_CACHE = 1 << 18
"""Numbers of a map that are computed together on a CPU: about ten temporary maps of them fit its cache."""


def probabilities(logits: Tensor) -> Tensor:
    """Apply a sigmoid, clamped to [1e-4, 1 - 1e-4], in float32 even under mixed precision.

    >>> probabilities(torch.tensor([0.0, 100.0])).tolist()
    [0.5, 0.9998999834060669]
    """
    if torch.is_grad_enabled() and logits.requires_grad and not torch.compiler.is_compiling():
        clamped: Tensor = _ClampedSigmoid.apply(logits.float())  # type: ignore[no-untyped-call]
        return clamped
    return logits.float().sigmoid().clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


class _ClampedSigmoid(torch.autograd.Function):
    """The clamped sigmoid; keeps its result alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        """Return the probabilities."""
        result = logits.sigmoid().clamp_(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of the logits; 0 where the probability was clamped, or is exactly at a bound."""
        (result,) = ctx.saved_tensors
        inside = (result > SMALLEST_PROBABILITY) & (result < 1 - SMALLEST_PROBABILITY)
        of_logits: Tensor = torch.ops.aten.sigmoid_backward(gradient, result).mul_(inside)
        return of_logits


def focal_loss(predicted: Tensor, truth: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """Compute CornerNet's focal loss (alpha 2, beta 4), divided by the number of positives in the mask.

    Args:
        predicted: (N, C, h, w) probabilities, float32.
        truth: (N, C, h, w) Gaussian peaks from 0 to 1; a positive is a pixel that equals 1.
        mask: broadcastable to the others; pixels that are 0 are ignored.
        count: the number to divide by, instead of the batch's positives.

    Returns:
        A scalar; 0 when N is 0. Not divided when there is no positive.

    >>> truth, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    >>> truth[0, 0, 1, 2] = 1
    >>> round(focal_loss(truth.clamp(0.1, 0.9), truth, mask).item(), 4)
    0.0169
    """
    total, positives = _FocalSum.apply(predicted, truth, mask)  # type: ignore[no-untyped-call]
    loss: Tensor = total / (positives.clamp(min=1) if count is None else count)
    return loss


class _FocalSum(torch.autograd.Function):
    """The focal loss before division, and the number of positives; keeps the gradient of the probabilities alone."""

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, truth: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return both scalars, and compute the gradient."""
        mask = mask.expand_as(predicted)
        gradient = torch.empty_like(predicted)
        total, positives = predicted.new_zeros(()), predicted.new_zeros(())
        size = len(predicted)
        if predicted.is_cpu:
            size = max(1, _IN_CACHE * size // max(1, predicted.numel()))
        for first in range(0, len(predicted), max(1, size)):
            part = slice(first, first + size)
            loss, count = _focal_part(predicted[part], truth[part], mask[part], gradient[part])
            total += loss
            positives += count
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(positives)
        return total, positives

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the probabilities."""
        return ctx.saved_tensors[0] * gradient, None, None


def _focal_part(predicted: Tensor, truth: Tensor, mask: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum and the number of positives of some maps, and write the gradient of the probabilities.

    With the probability t of what is true of a pixel, its loss is -w (1 - t)^2 log t, where the weight w is 1 at a
    positive and (1 - truth)^4 elsewhere.
    """
    # Arithmetic in place of torch.where, which takes forty times as long as a multiplication on a CPU.
    positive = truth.floor()
    sign = 2 * positive - 1
    weight = (1 - truth).square_().square_().add_(positive).mul_(mask)
    true = torch.addcmul(1 - positive, sign, predicted)
    false = torch.addcmul(positive, sign, predicted, value=-1)
    weight *= false
    logarithm = true.log()
    # d/dt of the loss is w (1 - t) (2 log t - (1 - t) / t); t falls with the probability where there is no positive.
    torch.div(false, true, out=gradient).sub_(logarithm, alpha=2).mul_(weight).mul_(sign.neg_())
    loss = -(logarithm.mul_(weight).mul_(false)).sum()
    return loss, positive.mul_(mask).sum()


def instance_slots(instance_image: Tensor, images: int) -> Tensor:
    """Number the instances of each image: (I,) image indices, ascending, to (I,).

    The host does not wait for values of the device.

    >>> instance_slots(torch.tensor([0, 0, 2]), images=3).tolist()
    [0, 1, 0]
    """
    counts = torch.zeros(images, dtype=torch.long, device=instance_image.device)
    counts.scatter_add_(0, instance_image, torch.ones_like(instance_image))
    first = counts.cumsum(0) - counts
    return torch.arange(len(instance_image), device=instance_image.device) - first[instance_image]
