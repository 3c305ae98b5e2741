"""Parameter groups of the optimizer: frozen parameters and learning-rate multipliers."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TypedDict, cast

from torch import nn

from everypose.backbones.vit import ViT
from everypose.errors import UsageError
from everypose.training.sections import OptimSection, ScaledOptimSection


class ParameterGroup(TypedDict, total=False):
    """Parameters with one learning rate.

    Attributes:
        params: the parameters.
        scale: their learning-rate multiplier.
        weight_decay: their weight decay, if it is not the optimizer's.

    >>> ParameterGroup(params=[nn.Parameter()], scale=0.1)["scale"]
    0.1
    """

    params: list[nn.Parameter]
    scale: float
    weight_decay: float


def freeze(network: nn.Module, scales: Mapping[str, float]) -> None:
    """Make the parameters whose learning rate is scaled by 0 stay as they are.

    Raises:
        UsageError: if no parameter begins with a prefix of ``scales``.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> freeze(network, {"0.": 0.0})
    >>> [name for name, value in network.named_parameters() if value.requires_grad]
    ['1.weight', '1.bias']
    """
    names = [name for name, _ in network.named_parameters()]
    for beginning in scales:
        if not any(name.startswith(beginning) for name in names):
            raise UsageError(f"optim.scales: the network has no parameter that begins with {beginning}")
    for name, value in network.named_parameters():
        if _scale_of(name, scales) == 0:
            value.requires_grad_(False)


def parameter_groups(network: nn.Module, optim: OptimSection) -> list[ParameterGroup]:
    """Groups for the optimizer, by depth in a ViT with layer decay, otherwise by the recipe's scales.

    Returns:
        Groups of ``params`` and ``scale``, the factor of the learning rate; the largest first.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> groups = parameter_groups(network, ScaledOptimSection(scales={"0.": 0.1}))
    >>> [(group["scale"], len(group["params"])) for group in groups]
    [(1.0, 2), (0.1, 2)]
    """
    if optim.layer_decay:
        return layer_decay_groups(network, optim.layer_decay, optim.weight_decay)
    scales = optim.scales if isinstance(optim, ScaledOptimSection) else {}
    groups: defaultdict[float, list[nn.Parameter]] = defaultdict(list)
    for name, value in network.named_parameters():
        if value.requires_grad:
            groups[_scale_of(name, scales)].append(value)
    return [ParameterGroup(params=groups[scale], scale=scale) for scale in sorted(groups, reverse=True)]


def _scale_of(name: str, scales: Mapping[str, float]) -> float:
    """The factor of the longest beginning that fits; 1 where none does."""
    fitting = [beginning for beginning in scales if name.startswith(beginning)]
    return scales[max(fitting, key=len)] if fitting else 1.0


def layer_decay_groups(network: nn.Module, rate: float, weight_decay: float) -> list[ParameterGroup]:
    """Return parameter groups for a ViT backbone whose learning rate decays from the last block to the first.

    The multiplier of the last block is ``rate``, of the one before it rate^2, and so on down to the patch and position
    embeddings; of all layers after the backbone it is 1. There is no weight decay for biases, normalizations and the
    position embedding.

    Returns:
        Groups of ``params``, ``weight_decay`` and ``scale``, the factor of the learning rate.

    >>> network = nn.Module()
    >>> network.backbone = ViT(width=16, depth=2, heads=2)
    >>> groups = layer_decay_groups(network, rate=0.5, weight_decay=0.1)
    >>> sorted({group["scale"] for group in groups})  # the embeddings', the first block's, the last one's
    [0.125, 0.25, 0.5, 1.0]
    """
    backbone = cast(ViT, network.backbone)
    last = len(backbone.blocks) + 1
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        block = re.match(r"backbone\.blocks\.(\d+)\.", name)
        layer = int(block[1]) + 1 if block else last
        if name.startswith(("backbone.pos_embed", "backbone.patch_embed.")):
            layer = 0
        spared = parameter.ndim == 1 or name == "backbone.pos_embed"
        groups.setdefault((layer, spared), []).append(parameter)
    return [
        ParameterGroup(
            params=parameters, weight_decay=0.0 if spared else weight_decay, scale=float(rate ** (last - layer))
        )
        for (layer, spared), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
