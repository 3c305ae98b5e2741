"""Networks with random weights, for times and counts: activations of a normal size, and a chosen number of people."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from everypose.methods.boir.network import BoIR
from everypose.methods.cid.network import CID

MOST_PEOPLE = 30


def settle(network: nn.Module, forward: Callable[[Tensor], object], side: int = 64) -> None:
    """Scale the weights, and give batch normalization the statistics of noise, so that no activation vanishes.

    Very small numbers, such as the papers' initial weights soon give, would cost processors more than others.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()
    with torch.no_grad():
        # Pooled features need two images to have statistics.
        forward(torch.randn(2, 3, side, side))
    network.eval()


class PlacedPeople:
    """Mixed into a single-stage network: its center map shows as many people as `set_people` sets, at usual cost."""

    places: Tensor
    heights: Tensor

    def center_map(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to (B, 1, h, w): the given peaks, after the work of finding one's own."""
        centers: Tensor = super().center_map(feature)  # type: ignore[misc]
        height, width = centers.shape[-2:]
        rows, columns = (torch.arange(side, device=centers.device) for side in (height, width))
        row, column = (self.places[:, 0] * height).long(), (self.places[:, 1] * width).long()
        peaks = (rows[:, None] == row[:, None, None]) & (columns == column[:, None, None])
        return centers * 0 + (peaks * self.heights).amax(0)


class PlacedBoIR(PlacedPeople, BoIR):
    """BoIR that finds a given number of people."""


class PlacedCID(PlacedPeople, CID):
    """CID that finds a given number of people."""


def peak_heights(people: int) -> Tensor:
    """Heights (30, 1, 1) of the center peaks: descending, so that all forms order people alike; 0 for no person."""
    order = torch.arange(MOST_PEOPLE)
    return ((1 - 0.01 * order) * (order < people))[:, None, None]


def place_people(network: BoIR | CID, people: int) -> None:
    """Make a network find a given number of people in every image; `set_people` changes the number."""
    network.__class__ = PlacedBoIR if isinstance(network, BoIR) else PlacedCID
    # Constants would have to be copied to a GPU at every call, which a CUDA graph cannot hold.
    grid = [(0.5 + i // 6, 0.5 + i % 6) for i in range(MOST_PEOPLE)]
    network.register_buffer("places", torch.tensor(grid) / 6)
    network.register_buffer("heights", peak_heights(people))


def set_people(network: Any, people: int) -> None:
    """Change how many people a network with placed people finds."""
    network.heights.copy_(peak_heights(people))


def single_stage_forward(network: Any) -> Callable[[Tensor], object]:
    """What `settle` runs of a single-stage network: all that has batch normalization."""
    return lambda images: network.center_map(network.features(images))
