"""The dilated convolution's gradient by matrix products, against autograd's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.methods.boir.dilated_conv import DilatedConv2d


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 9), width=st.integers(1, 9), dilation=st.integers(1, 10), channels_last=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_gradients_equal_autograd_s(height: int, width: int, dilation: int, channels_last: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    conv = DilatedConv2d(3, 4, dilation)
    x = torch.randn(2, 3, height, width, generator=generator)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
        conv = conv.to(memory_format=torch.channels_last)
    mine, literal = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = conv(mine)
    expected = F.conv2d(literal, conv.weight, padding=dilation, dilation=dilation)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(found.shape, generator=generator)
    of_mine = torch.autograd.grad(found, (mine, conv.weight), gradient)
    of_literal = torch.autograd.grad(expected, (literal, conv.weight), gradient)
    for one, other in zip(of_mine, of_literal, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("of_input", [True, False])
def test_only_the_needed_gradient_is_computed(of_input: bool) -> None:
    conv = DilatedConv2d(2, 2, 2)
    conv.weight.requires_grad_(not of_input)
    x = torch.randn(1, 2, 5, 5, requires_grad=of_input)
    conv(x).sum().backward()
    assert (x.grad is not None) == of_input
    assert (conv.weight.grad is not None) != of_input
