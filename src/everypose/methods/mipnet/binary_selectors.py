"""Released checkpoints for three and four people, whose selectors are binary codes of two numbers.

The authors' scripts for more than two people name the primary (0, 0), the nearest other person (1, 0), the next one
(0, 1) and the last one (1, 1). Their tensors have the names and shapes of those for two people, (1, 0) and (0, 1). What
differs are the statistics of the batch normalization that follows the selectors' first layer: with weights a and b for
the two numbers, its running variance is (a - b)^2 / 4 for two people, 2 / 9 (a^2 + b^2 - a b) for three and
(a^2 + b^2) / 4 for four, since every batch has as many selectors of each person.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from everypose.errors import EveryposeError

CODES = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
"""The selectors of the primary and of the people with the nearest boxes."""
FIRST_LAYER, NORM = "fc_lambda.0.", "fc_lambda.1."
FITS = 0.2
"""Largest mean deviation of the variances, relative to their mean, for a number of people to be believed."""
CONSTANT = 0.01
"""Variances below this share of what two people give mean that no batch had two different selectors."""


def count_people(state: Mapping[str, Tensor]) -> int:
    """Determine for how many people a released MIPNet with selectors of two numbers was trained: 2, 3 or 4.

    Two is the answer unless the statistics of training speak for another number, as in a network that was never
    trained.

    Args:
        state: under the released names.

    Raises:
        EveryposeError: if no batch had selectors of different people, so that the number cannot be determined.

    >>> count_people({})  # no selectors of two numbers whose statistics could show another number
    2
    """
    found = [_weights_and_variance(state, name) for name in state if name.endswith(f"{FIRST_LAYER}weight")]
    usable = [pair for pair in found if pair is not None]
    if not usable:
        return 2
    weights, variance = torch.cat([pair[0] for pair in usable]), torch.cat([pair[1] for pair in usable])
    a, b = weights.double().T
    variance = variance.double()
    expected = {2: (a - b) ** 2 / 4, 3: 2 / 9 * (a**2 + b**2 - a * b), 4: (a**2 + b**2) / 4}
    if variance.sum() < CONSTANT * expected[2].sum():
        raise EveryposeError(
            "its selectors of two numbers were never trained side by side in one batch: a network of the authors' "
            "scripts for three or four people, whose number cannot be determined; not supported"
        )
    deviation = {people: float((variance - value).abs().sum() / variance.sum()) for people, value in expected.items()}
    nearest = min(deviation, key=lambda people: deviation[people])
    return nearest if deviation[nearest] < FITS else 2


def one_hot_state(state: Mapping[str, Tensor], people: int) -> dict[str, Tensor]:
    """Convert selectors of binary codes to one-hot vectors of length N; the network's function stays the same.

    The first layer's weights for person i become what it gave for the person's code.

    Args:
        state: under the released names.
        people: N, 3 or 4.

    >>> state = {"stage3_se.fc_lambda.0.weight": torch.tensor([[5.0, 7.0]])}
    >>> one_hot_state(state, people=3)["stage3_se.fc_lambda.0.weight"].tolist()  # codes 00, 10 and 01
    [[0.0, 5.0, 7.0]]
    """
    codes = torch.tensor(CODES[:people])
    return {
        name: value @ codes.T.to(value) if name.endswith(f"{FIRST_LAYER}weight") else value
        for name, value in state.items()
    }


def _weights_and_variance(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor] | None:
    """The first layer's weights (h, 2) of a block, and the running variance (h,); None if they do not fit."""
    weights = state[name]
    variance = state.get(name.replace(f"{FIRST_LAYER}weight", f"{NORM}running_var"))
    if variance is None or weights.ndim != 2 or weights.shape[1] != 2 or variance.shape != weights.shape[:1]:
        return None
    return weights, variance
