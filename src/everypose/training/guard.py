"""Guards that stop a run whose losses or gradients are not finite."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from everypose.errors import EveryposeError


class FiniteGuard:
    """Checks every batch's losses one batch later, after an asynchronous copy to the host.

    Reading a value from the GPU at once would synchronize host and GPU in every step. Instead the values are copied
    without blocking and checked after the next batch has been queued, when the copy is complete. The cost is one
    optimizer step with non-finite gradients, which no checkpoint contains: `finite_weights` runs before each is saved.

    >>> guard = FiniteGuard()
    >>> guard.watch(torch.tensor([torch.nan]), ("heatmap",), keys=["a.jpg"], step=1)
    >>> guard.finish()
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: training stopped at step 1: heatmap is nan. The samples of this ...
    """

    def __init__(self) -> None:
        self._pending: tuple[Tensor, torch.cuda.Event | None, tuple[str, ...], Sequence[str], int] | None = None

    def watch(self, values: Tensor, names: tuple[str, ...], keys: Sequence[str], step: int) -> None:
        """Check the batch before, and start fetching this one's losses.

        Args:
            values: (L,) losses, on any device.
            names: their names.
            keys: what names the samples of the batch.
            step: the step they belong to, from 1.

        Raises:
            EveryposeError: if a loss of the batch before is not finite.
        """
        before, self._pending = self._pending, (*fetch(values), names, keys, step)
        if before is not None:
            _check(*before)

    def finish(self) -> None:
        """Check what has not been checked yet."""
        before, self._pending = self._pending, None
        if before is not None:
            _check(*before)


def fetch(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Start copying to the host; the event says when the copy is complete, None that it is.

    >>> fetch(torch.ones(2))
    (tensor([1., 1.]), None)
    """
    if not values.is_cuda:
        return values, None
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return host, arrived


def _check(
    values: Tensor, arrived: torch.cuda.Event | None, names: tuple[str, ...], keys: Sequence[str], step: int
) -> None:
    if arrived is not None:
        arrived.synchronize()
    if bool(values.isfinite().all()):
        return
    pairs = zip(names, values.tolist(), strict=True)
    broken = ", ".join(f"{name} is {value}" for name, value in pairs if not math.isfinite(value))
    raise EveryposeError(
        f"training stopped at step {step}: {broken}. The samples of this batch: {', '.join(keys)}. "
        "Look at them, or lower optim.lr; the last checkpoint is from before"
    )


def finite_weights(parameters: Sequence[Tensor]) -> bool:
    """Whether every number of the parameters is finite; waits for the device.

    >>> finite_weights([torch.ones(2)]), finite_weights([torch.tensor([1.0, torch.nan])])
    (True, False)
    """
    return bool(torch.stack([parameter.isfinite().all() for parameter in parameters]).all())


class GradientGuard:
    """Skips single steps whose gradients are not finite, and ends a run after many of them in a row.

    Attributes:
        left_out: how many steps, since the start or the last resumption.

    >>> weight, guard = nn.Parameter(torch.ones(1)), GradientGuard()
    >>> weight.grad = torch.tensor([torch.nan])
    >>> guard.check([weight], step=1)
    >>> weight.grad is None, guard.left_out
    (True, 1)
    """

    MOST_IN_A_ROW = 10

    def __init__(self) -> None:
        self.left_out = 0
        self._in_a_row = 0

    def check(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Drop all gradients if one of them is not finite; waits for the device.

        Raises:
            EveryposeError: if they were not finite for many steps in a row.
        """
        gradients = [value.grad for value in parameters if value.grad is not None]
        if not gradients or torch.stack([gradient.isfinite().all() for gradient in gradients]).all():
            self._in_a_row = 0
            return
        self.left_out += 1
        self._in_a_row += 1
        if self._in_a_row == self.MOST_IN_A_ROW:
            raise EveryposeError(
                f"training stopped at step {step}: the gradients of the last {self._in_a_row} steps were not finite; "
                "lower optim.lr, or train with --set trainer.precision=32-true"
            )
        for value in parameters:
            value.grad = None
