"""How the heads of CID and BoIR start: small weights, and probabilities of one in a hundred."""

import math

from torch import nn

PRIOR = -math.log((1 - 0.01) / 0.01)
OUTPUT_SPREAD = 0.001


def scatter_weights(part: nn.Module, spread: float, bias: float = PRIOR) -> None:
    """Weights of all convolutions and linear layers from N(0, spread^2); biases of convolutions ``bias``, others 0."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.constant_(module.bias, bias if isinstance(module, nn.Conv2d) else 0.0)


def start_at_prior(output: nn.Conv2d) -> None:
    """Make the sigmoid of a head's last convolution start at 0.01."""
    assert output.bias is not None
    nn.init.normal_(output.weight, std=OUTPUT_SPREAD)
    nn.init.constant_(output.bias, PRIOR)
