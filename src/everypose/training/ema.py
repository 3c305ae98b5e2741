"""Exponential moving average of a network's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Keeps the moving average of every parameter and floating-point buffer of a network.

    The decay of update t is min(decay, (1 + t) / (10 + t)), so that the initial weights do not dominate a short run.
    Integer buffers (BatchNorm's counters) are copied.

    >>> network = nn.Linear(1, 1, bias=False)
    >>> _ = network.weight.data.fill_(0.0)
    >>> ema = Ema(network, decay=0.999)
    >>> _ = network.weight.data.fill_(1.0)
    >>> ema.update()  # the first decay is 0.1
    >>> with ema.applied():
    ...     round(network.weight.item(), 1)
    0.9
    >>> network.weight.item()
    1.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.updates = 0
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average toward the network's present weights."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = self._network.state_dict()
        floating = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floating], [current[n] for n in floating], 1 - decay)
        for name in current.keys() - set(floating):
            self.average[name].copy_(current[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network holds the average inside this block, and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self.average)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def load(self, average: Mapping[str, Tensor], updates: int) -> None:
        """Take over a saved average."""
        self.average = {name: average[name].to(value.device) for name, value in self.average.items()}
        self.updates = updates
