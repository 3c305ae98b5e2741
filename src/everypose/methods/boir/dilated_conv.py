"""A dilated 3x3 convolution whose weight's gradient is matrix products on a CPU.

oneDNN computes the gradient of widely dilated weights at a fraction of the rate of a matrix product. With zeros after
each row of pixels, a shift of the map is an offset into it, so each of the nine weights has its gradient by one product
of what is already in memory. Rows that a shift moves off the map are left out.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight


class DilatedConv2d(nn.Conv2d):
    """A 3x3 convolution that keeps the size, without bias.

    Args:
        inputs: input channels.
        outputs: output channels.
        dilation: distance of the weights, in pixels.

    >>> DilatedConv2d(inputs=8, outputs=4, dilation=6)(torch.zeros(1, 8, 16, 12)).shape
    torch.Size([1, 4, 16, 12])
    """

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        if not (x.is_cpu and x.dtype == torch.float32 and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return super().forward(x)
        convolved: Tensor = _DilatedConvolution.apply(x, self.weight, self.dilation[0])  # type: ignore[no-untyped-call]
        return convolved


class _DilatedConvolution(torch.autograd.Function):
    """The convolution; the gradient of its weight by matrix products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        """Convolve."""
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return F.conv2d(x, weight, padding=dilation, dilation=dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of the input and of the weight."""
        x, weight = ctx.saved_tensors
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            of_input = conv2d_input(x.shape, weight, gradient, padding=ctx.dilation, dilation=ctx.dilation)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x, gradient, ctx.dilation)
        return of_input, of_weight, None


def _weight_gradient(x: Tensor, gradient: Tensor, dilation: int) -> Tensor:
    """Return the gradient of the weight (O, C, 3, 3), for an input (B, C, h, w) and a gradient (B, O, h, w)."""
    images, inputs, height, width = x.shape
    outputs, step = gradient.shape[1], width + dilation
    pixels, of_outputs = _with_zeros(x, dilation), _with_zeros(gradient, dilation)
    total = torch.zeros(3, 3, outputs, inputs)
    for image in range(images):
        start = dilation + image * height * step
        for row, column, first, last in _taps(height, width, dilation):
            here, count = start + first * step, (last - first) * step
            there = here + (row - 1) * dilation * step + (column - 1) * dilation
            # As a 1x1 convolution, whose weight's gradient oneDNN computes faster than MKL a product on some CPUs.
            shifted, own = (
                maps[begin : begin + count].unflatten(0, (1, last - first, step)).permute(0, 3, 1, 2)
                for maps, begin in ((pixels, there), (of_outputs, here))
            )
            total[row, column] += conv2d_weight(shifted, (outputs, inputs, 1, 1), own)[:, :, 0, 0]
    return total.permute(2, 3, 0, 1)


def _taps(height: int, width: int, dilation: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield row and column of each weight that touches the map, and the output rows, first and after the last."""
    for row in range(3):
        shift = (row - 1) * dilation
        first, last = max(0, -shift), min(height, height - shift)
        for column in range(3):
            if first < last and (column == 1 or dilation < width):
                yield row, column, first, last


def _with_zeros(maps: Tensor, count: int) -> Tensor:
    """Lay maps (B, C, h, w) out as pixels (count + B h (w + count) + count, C): zeros before all and after each row."""
    images, channels, height, width = maps.shape
    pixels = torch.zeros(images * height * (width + count) + 2 * count, channels)
    rows = pixels[count:-count].unflatten(0, (images, height, width + count))
    rows[:, :, :width] = maps.permute(0, 2, 3, 1)
    return pixels
