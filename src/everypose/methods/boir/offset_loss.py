"""The offset loss: pixels at a person's keypoints regress the offset to that person's center.

Not in the papers, where HRNet learns without direct supervision which person a pixel belongs to. A small backbone
does not learn it within a training budget that fits a CPU; with this supervision at the keypoints it does.
"""

import torch
from torch import Tensor

from everypose.methods.single_stage.targets import Owners


def offset_loss(offsets: Tensor, owners: Owners, count: Tensor | None = None) -> Tensor:
    """Mean distance of the person's center from those predicted at nine pixels around each visible keypoint.

    Args:
        offsets: (B, 2, h, w) x, y, in output pixels, from each pixel to the center of the person that it belongs to.
        owners: the visible keypoints.
        count: the number to divide by, instead of the batch's pixels used.

    Returns:
        The mean over all pixels used, in units of each person's size; 0 without any. Pixels off the map are left out.

    >>> center = torch.tensor([[4.0, 4.0]])
    >>> owners = Owners(torch.tensor([0]), torch.tensor([[[1, 4]]]), torch.tensor([[True]]), center, torch.tensor([6]))
    >>> offsets = torch.zeros(1, 2, 9, 9)
    >>> offsets[:, 0] = 3.0  # exact at the keypoint, a pixel off at its neighbors
    >>> round(float(offset_loss(offsets, owners)), 3)
    0.179
    """
    height, width = offsets.shape[-2:]
    step = torch.arange(-1, 2, device=offsets.device)
    pixel = owners.xy[:, :, None] + torch.cartesian_prod(step, step)
    x, y = pixel.unbind(-1)
    used = owners.visible[..., None] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    image = owners.image[:, None, None].expand_as(x)
    found = pixel + offsets.float()[image, :, y.clamp(0, height - 1), x.clamp(0, width - 1)]
    away = torch.linalg.vector_norm(found - owners.center[:, None, None], dim=-1) / owners.size[:, None, None]
    total: Tensor = (away * used).sum()
    return total / (used.sum().clamp(min=1) if count is None else count)
