"""CID's training loss: two heatmap losses and the contrastive loss of the instances' vectors (section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.cid.network import CIDOutputs
from everypose.methods.cid.settings import CIDLosses
from everypose.methods.single_stage.losses import focal_loss
from everypose.methods.single_stage.targets import Targets

TEMPERATURE = 0.05


def losses(outputs: CIDOutputs, targets: Targets, settings: CIDLosses) -> dict[str, Tensor]:
    """Return the weighted losses of a batch; training minimizes their sum.

    Each is a mean over pixels or instances, divided by ``settings.divisor``.

    >>> from everypose.methods.cid.network import CIDOutputs
    >>> from everypose.methods.single_stage.targets import Owners
    >>> maps = torch.full((1, 2, 8, 8), 0.5)  # of one keypoint, and of the centers
    >>> outputs = CIDOutputs(maps, torch.ones(1, 4), maps[:, :1])
    >>> truth, image = torch.zeros(1, 2, 8, 8), torch.tensor([0])
    >>> truth[0, :, 4, 4] = 1
    >>> point, box = torch.tensor([[4.0, 4.0]]), torch.tensor([[2.0, 2.0, 4.0, 4.0]])
    >>> owners = Owners(image, point[:, None].long(), torch.tensor([[True]]), point, torch.tensor([4]))
    >>> targets = Targets(
    ...     truth, torch.ones(1, 1, 8, 8), truth[:, :1], torch.ones(1, 1, 1, 1), image, point.long(), box, 1, owners
    ... )
    >>> {name: round(float(value), 2) for name, value in losses(outputs, targets, CIDLosses()).items()}
    {'multi_heatmap': 0.55, 'single_heatmap': 2.22, 'contrastive': 0.0}
    """
    count = targets.normalizers
    values = {
        "multi_heatmap": focal_loss(outputs.multi_heatmap, targets.multi_heatmap, targets.loss_mask, count.positives),
        "single_heatmap": focal_loss(
            outputs.instance_heatmaps, targets.instance_heatmaps, targets.instance_mask, count.instance_positives
        ),
        "contrastive": contrastive_loss(outputs.parameters, targets.instance_image, count.instances),
    }
    return {name: value * getattr(settings, name) / settings.divisor for name, value in values.items()}


def contrastive_loss(parameters: Tensor, image_index: Tensor, count: Tensor | None = None) -> Tensor:
    """Contrast each instance's vector with the others of its image.

    Args:
        parameters: (I, D), the instances' parameter vectors.
        image_index: (I,), each instance's image.
        count: the number to divide by, instead of the batch's instances.

    Returns:
        Cross-entropy of each vector's similarities / 0.05 with itself as the answer, a mean over instances.

    Example:
        >>> parameters = torch.eye(2)  # two people whose vectors have nothing in common
        >>> float(contrastive_loss(parameters, torch.tensor([0, 0]))) < 1e-6
        True
        >>> round(float(contrastive_loss(torch.ones(2, 2), torch.tensor([0, 0]))), 3)  # equal vectors: log 2
        0.693
    """
    unit = F.normalize(parameters.float(), dim=-1)
    elsewhere = image_index[:, None] != image_index
    similarity = (unit @ unit.mT / TEMPERATURE).masked_fill(elsewhere, float("-inf"))
    itself = torch.arange(len(unit), device=unit.device)
    return F.cross_entropy(similarity, itself, reduction="sum") / (max(len(unit), 1) if count is None else count)
