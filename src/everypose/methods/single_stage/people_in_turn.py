"""The instance head's training pass on a CPU: one person after the other, recomputed for the gradient.

A person's maps fit the processor's cache, those of all people of a batch do not. Nothing of a person's size is kept for
the gradient except its logits' own; the backward pass computes the maps again, for a third more multiplications.
Values and gradients equal those of :func:`everypose.methods.single_stage.attention.fuse_attention` and what follows it,
up to rounding.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from everypose.methods.single_stage.attention import COORDINATE_SCALE

BUCKET = 8
"""People are padded to a multiple of this for a convolution: oneDNN keeps a program and buffers for every shape."""


class HeadInputs(NamedTuple):
    """What a person's logits are computed from; P people in any of B images, maps with their pixels flattened.

    Attributes:
        shared: (B, C, h w), the maps that all people of an image share.
        masked: (B, C, h w), the shared maps after the spatial half of the fusion, before the mask.
        folded: (P, C, C), the channel half of the fusion times each person's channel attention.
        mask: (P, h w), each person's spatial attention.
        shift: (C,), added to the fused maps.
        weight: (K, C), of the last convolution.
        bias: (K,), of the last convolution.

    >>> sizes = ((1, 8, 12), (1, 8, 12), (3, 8, 8), (3, 12), (8,), (17, 8), (17,))  # 3 people, 8 channels, 12 pixels
    >>> HeadInputs(*map(torch.zeros, sizes)).mask.shape
    torch.Size([3, 12])
    """

    shared: Tensor
    masked: Tensor
    folded: Tensor
    mask: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor


def people_logits(inputs: HeadInputs, images: Sequence[int], epsilon: float | None) -> Tensor:
    """Compute each person's keypoint logits.

    Args:
        inputs: the maps and weights.
        images: P numbers, each person's image.
        epsilon: added to the variance by instance normalization of the fused maps; None for no normalization.

    Returns:
        (P, K, h w).

    >>> sizes = ((1, 8, 12), (1, 8, 12), (3, 8, 8), (3, 12), (8,), (17, 8), (17,))  # 3 people, 8 channels, 12 pixels
    >>> people_logits(HeadInputs(*map(torch.ones, sizes)), images=[0, 0, 0], epsilon=None).shape
    torch.Size([3, 17, 12])
    """
    logits: Tensor = _PeopleLogits.apply(*inputs, images, epsilon)  # type: ignore[no-untyped-call]
    return logits


class _PeopleLogits(torch.autograd.Function):
    """Logits of all people; see :func:`people_logits`."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        """Compute the logits (P, K, h w); only the inputs are kept."""
        inputs, images, epsilon = HeadInputs(*given[:7]), given[7], given[8]
        ctx.save_for_backward(*inputs)
        ctx.images, ctx.epsilon = images, epsilon
        logits = inputs.shared.new_empty(len(images), len(inputs.weight), inputs.shared.shape[2])
        fused = torch.empty_like(inputs.shared[0])
        for person, image in enumerate(images):
            _fuse(inputs, person, image, fused)
            active, _ = _normalized(fused, epsilon)
            torch.addmm(inputs.bias[:, None], inputs.weight, active.relu_(), out=logits[person])
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Compute the gradients of all inputs."""
        inputs = HeadInputs(*ctx.saved_tensors)
        grad = HeadInputs(*(torch.zeros_like(value) for value in inputs))
        fused, active, back = (torch.empty_like(inputs.shared[0]) for _ in range(3))
        for person, image in enumerate(ctx.images):
            own = gradients[0][person]
            _fuse(inputs, person, image, fused)
            normalized, factor = _normalized(fused, ctx.epsilon)
            torch.clamp(normalized, min=0, out=active)
            grad.weight.addmm_(own, active.T)
            grad.bias.add_(own.sum(1))
            torch.mm(inputs.weight.T, own, out=back)
            torch.ops.aten.threshold_backward.grad_input(back, active, 0, grad_input=back)
            if factor is None:
                grad.shift.add_(back.sum(1))
            else:
                # The gradient of instance normalization; the product is the same with the ReLU's output.
                along = torch.mul(back, active, out=active).mean(1, keepdim=True)
                back.sub_(back.mean(1, keepdim=True)).addcmul_(normalized, along, value=-1).mul_(factor)
            torch.mm(back, inputs.shared[image].T, out=grad.folded[person])
            grad.shared[image].addmm_(inputs.folded[person].T, back)
            grad.masked[image].addcmul_(back, inputs.mask[person])
            torch.sum(back.mul_(inputs.masked[image]), 0, out=grad.mask[person])
        return (*grad, None, None)


def _fuse(inputs: HeadInputs, person: int, image: int, fused: Tensor) -> None:
    """Write both paths' sum of one person into ``fused`` (C, h w)."""
    torch.mm(inputs.folded[person], inputs.shared[image], out=fused)
    fused.addcmul_(inputs.masked[image], inputs.mask[person]).add_(inputs.shift[:, None])


def _normalized(fused: Tensor, epsilon: float | None) -> tuple[Tensor, Tensor | None]:
    """Normalize each channel of (C, h w) in place; also the factors (C, 1). Without ``epsilon`` nothing changes."""
    if epsilon is None:
        return fused, None
    fused.sub_(fused.mean(1, keepdim=True))  # in three passes, which are faster than torch.var_mean's one
    factor = fused.square().mean(1, keepdim=True).add_(epsilon).rsqrt_()
    return fused.mul_(factor), factor


def response_in_buckets(shared: Tensor, weights: Tensor, conv: nn.Conv2d, images: Tensor, yx: Tensor) -> Tensor:
    """Compute each person's spatial response, as :func:`everypose.methods.single_stage.attention.spatial_response`.

    Args:
        shared: (B, C, h, w).
        weights: (P, C), one weight for each channel and person.
        conv: 3 channels (sum, x, y) to 1.
        images: (P,), each person's image.
        yx: (P, 2), each person's center in output pixels.

    Returns:
        (P, h w), before normalization.

    >>> conv = nn.Conv2d(3, 1, 5, padding=2)
    >>> images, yx = torch.tensor([0, 0, 1]), torch.tensor([[1, 2], [3, 3], [0, 0]])
    >>> response_in_buckets(torch.ones(2, 8, 4, 6), torch.ones(3, 8), conv, images, yx).shape
    torch.Size([3, 24])
    """
    height, width = shared.shape[-2:]
    order = torch.argsort(images, stable=True)
    groups = weights[order].split(torch.bincount(images, minlength=len(shared)).tolist())
    sums = torch.cat([group @ maps for group, maps in zip(groups, shared.flatten(2), strict=True)])
    totals = sums.index_select(0, torch.argsort(order))
    padded = F.pad(totals, (0, 0, 0, -len(totals) % BUCKET)).unflatten(1, (1, height, width))
    rows = torch.arange(height) / COORDINATE_SCALE
    columns = torch.arange(width) / COORDINATE_SCALE
    planes = torch.stack(
        [torch.ones(height, width), columns.expand(height, width), rows[:, None].expand(height, width)]
    )
    # A person's coordinates are its center's, the same at every pixel, less the pixel's, the same for every person.
    weight = conv.weight.transpose(0, 1)
    response = F.conv2d(padded, weight[:1], conv.bias, padding=2)[: len(totals)].flatten(1)
    of_planes = F.conv2d(planes[:, None].to(shared), weight[1:], padding=2).flatten(2)
    centers = (yx.flip(1) / COORDINATE_SCALE).to(shared)
    return response + centers @ of_planes[0] - of_planes[1, 0] - of_planes[2, 1]
