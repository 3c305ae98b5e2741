"""Which parameters learn, and how fast."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from everypose.backbones.vit import layer_decay_groups
from everypose.errors import UsageError
from everypose.training.sections import OptimSection


def freeze(network: nn.Module, scales: Mapping[str, float]) -> None:
    """Make the parameters whose learning rate is scaled by 0 stay as they are.

    Raises:
        UsageError: a beginning in ``scales`` that no parameter has.
    """
    names = [name for name, _ in network.named_parameters()]
    for beginning in scales:
        if not any(name.startswith(beginning) for name in names):
            raise UsageError(f"optim.scales: the network has no parameter that begins with {beginning}")
    for name, value in network.named_parameters():
        if _scale_of(name, scales) == 0:
            value.requires_grad_(False)


def parameter_groups(network: nn.Module, optim: OptimSection) -> list[dict[str, Any]]:
    """Groups for the optimiser, by depth in a ViT with layer decay, otherwise by the recipe's scales.

    Returns:
        Groups of ``params`` and ``scale``, the factor of the learning rate; the largest first.
    """
    if optim.layer_decay:
        return layer_decay_groups(network, optim.layer_decay, optim.weight_decay)
    groups: defaultdict[float, list[nn.Parameter]] = defaultdict(list)
    for name, value in network.named_parameters():
        if value.requires_grad:
            groups[_scale_of(name, optim.scales)].append(value)
    return [{"params": groups[scale], "scale": scale} for scale in sorted(groups, reverse=True)]


def _scale_of(name: str, scales: Mapping[str, float]) -> float:
    """The factor of the longest beginning that fits; 1 where none does."""
    fitting = [beginning for beginning in scales if name.startswith(beginning)]
    return scales[max(fitting, key=len)] if fitting else 1.0
