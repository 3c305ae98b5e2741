"""Which parameters learn, and how fast."""

from typing import Any

from torch import nn

from everypose.backbones.vit import layer_decay_groups
from everypose.errors import UsageError
from everypose.training.sections import OptimSection


def freeze(network: nn.Module, beginnings: tuple[str, ...]) -> None:
    """Make parameters whose names begin so stay as they are.

    Raises:
        UsageError: a beginning that no parameter has.
    """
    for beginning in beginnings:
        chosen = [value for name, value in network.named_parameters() if name.startswith(beginning)]
        if not chosen:
            raise UsageError(f"optim.frozen: the network has no parameter that begins with {beginning}")
        for value in chosen:
            value.requires_grad_(False)


def parameter_groups(network: nn.Module, optim: OptimSection) -> list[dict[str, Any]]:
    """Groups for the optimiser, by depth in a ViT with layer decay, otherwise the heads and the backbone.

    Returns:
        Groups of ``params`` and ``scale``, the factor of the learning rate.
    """
    if optim.layer_decay:
        return layer_decay_groups(network, optim.layer_decay, optim.weight_decay)
    learning = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
    heads = [value for name, value in learning if not name.startswith("backbone.")]
    backbone = [value for name, value in learning if name.startswith("backbone.")]
    return [{"params": heads, "scale": 1.0}, {"params": backbone, "scale": optim.backbone_scale}]
