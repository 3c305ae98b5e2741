"""Checks of a network's settings and weights before memory is spent on them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from everypose.errors import EveryposeError, first_line

MOST_PARAMETERS = 2_000_000_000
"""The largest network that is built; ViT-Huge has 0.6 billion parameters."""


def require_buildable(build: Callable[[], nn.Module], where: str) -> None:
    """Build a network without memory for its weights, and check its sizes.

    Any error of the framework on impossible sizes becomes one line.

    Args:
        build: makes the network.
        where: what error messages begin with: the file or recipe that gives the sizes.

    Raises:
        EveryposeError: if the sizes do not fit one another, a layer would be empty, or the network would be too large.

    >>> require_buildable(lambda: nn.Conv2d(3, 4, kernel_size=3, groups=2), "config.json")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: config.json: the network cannot be built with these sizes: ...
    """
    try:
        with torch.device("meta"):
            parameters = dict(build().named_parameters())
    except EveryposeError:
        raise
    except Exception as error:
        raise EveryposeError(f"{where}: the network cannot be built with these sizes: {first_line(error)}") from error
    empty = [name for name, value in parameters.items() if value.numel() == 0]
    if empty:
        raise EveryposeError(f"{where}: the network cannot be built with these sizes: {empty[0]} would be empty")
    count = sum(value.numel() for value in parameters.values())
    if count > MOST_PARAMETERS:
        raise EveryposeError(f"{where}: the network would have {count:,} parameters; {MOST_PARAMETERS:,} are the most")


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Check that all weights are numbers.

    Raises:
        EveryposeError: if a tensor holds NaN or an infinity; the message names the first one.

    >>> import torch
    >>> require_finite({"weight": torch.tensor([1.0, torch.nan])}, "model.pth")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: model.pth: 1 tensors hold NaN or infinite weights (weight): ...
    """
    broken = [name for name, value in state.items() if not _is_finite(value)]
    if broken:
        raise EveryposeError(
            f"{where}: {len(broken)} tensors hold NaN or infinite weights ({broken[0]}): the training that made them "
            "diverged, or the file is damaged"
        )


def _is_finite(value: Tensor) -> bool:
    """Whether a tensor holds no NaN and no infinity; torch has no such test for numbers of 8 bits."""
    if value.is_floating_point() and value.element_size() == 1:
        value = value.float()
    return not value.is_floating_point() or bool(value.isfinite().all())
