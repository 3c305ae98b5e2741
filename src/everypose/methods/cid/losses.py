"""CID's training loss: two heatmap losses and the contrastive loss of the instances' vectors (section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.cid.network import CIDOutputs
from everypose.methods.cid.settings import CIDLosses
from everypose.methods.single_stage.losses import focal_loss, over_processes
from everypose.methods.single_stage.targets import Targets

TEMPERATURE = 0.05


def losses(outputs: CIDOutputs, targets: Targets, settings: CIDLosses) -> dict[str, Tensor]:
    """The weighted losses of a batch, each divided by the number of images; training minimizes their sum."""
    values = {
        "multi_heatmap": focal_loss(outputs.multi_heatmap, targets.multi_heatmap, targets.loss_mask),
        "single_heatmap": focal_loss(outputs.instance_heatmaps, targets.instance_heatmaps, targets.instance_mask),
        "contrastive": contrastive_loss(outputs.parameters, targets.instance_image),
    }
    images = len(targets.multi_heatmap)
    return {name: value * getattr(settings, name) / images for name, value in values.items()}


def contrastive_loss(parameters: Tensor, image_index: Tensor) -> Tensor:
    """Contrast each instance's vector with the others of its image.

    Args:
        parameters: (I, D), the instances' parameter vectors.
        image_index: (I,), each instance's image.

    Returns:
        Cross-entropy of each vector's similarities / 0.05 with itself as the answer, a mean over instances.
    """
    unit = F.normalize(parameters.float(), dim=-1)
    elsewhere = image_index[:, None] != image_index
    similarity = (unit @ unit.mT / TEMPERATURE).masked_fill(elsewhere, float("-inf"))
    itself = torch.arange(len(unit), device=unit.device)
    instances = torch.full((), len(unit), dtype=unit.dtype, device=unit.device)
    return F.cross_entropy(similarity, itself, reduction="sum") / over_processes(instances).clamp(min=1)
