"""Initial weights of the heads of CID and BoIR."""

import math

from torch import nn

PRIOR = 0.01
"""Initial probability of a keypoint at a pixel."""
PRIOR_BIAS = -math.log((1 - PRIOR) / PRIOR)
"""The bias whose sigmoid is `PRIOR`."""
PAPER_STD = 0.001
"""Standard deviation of the released initial weights."""


def initialize_normal(part: nn.Module, std: float, bias: float = PRIOR_BIAS) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, std^2).

    Biases of convolutions become ``bias``, those of linear layers 0.

    >>> layer = nn.Conv2d(3, 8, 1)
    >>> initialize_normal(layer, std=0.001)
    >>> bool(layer.weight.abs().max() < 0.01)
    True
    """
    for module in part.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.constant_(module.bias, bias if isinstance(module, nn.Conv2d) else 0.0)


def start_at_prior(output: nn.Conv2d) -> None:
    """Make the sigmoid of a head's last convolution start at `PRIOR`.

    >>> output = nn.Conv2d(4, 17, 1)
    >>> start_at_prior(output)
    >>> round(output.bias.sigmoid()[0].item(), 4)
    0.01
    """
    assert output.bias is not None
    nn.init.normal_(output.weight, std=PAPER_STD)
    nn.init.constant_(output.bias, PRIOR_BIAS)
