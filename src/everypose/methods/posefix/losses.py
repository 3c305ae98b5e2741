"""PoseFix's loss, L = L_H + L_C: cross-entropy of the heatmaps and the distance of the soft-argmax coordinates."""

import torch
from torch import Tensor

from everypose.methods.posefix.network import soft_argmax


def bilinear_targets(points: Tensor, valid: Tensor, *, height: int, width: int) -> Tensor:
    """Distributions that spread mass 1 bilinearly over the four cells around each true point.

    Cells outside the map are dropped and the rest is renormalized.

    Args:
        points: (B, K, 2) x, y in heatmap cells.
        valid: (B, K) bool; the map of a keypoint that is not valid is zero.
        height: of the map, cells.
        width: of the map, cells.

    Returns:
        (B, K, height, width).

    Example:
        >>> target = bilinear_targets(torch.tensor([[[0.25, 1.0]]]), torch.tensor([[True]]), height=2, width=2)
        >>> target[0, 0].tolist()
        [[0.0, 0.0], [0.75, 0.25]]
    """
    columns = _hat(points[..., 0], width)
    rows = _hat(points[..., 1], height)
    maps = rows[..., :, None] * columns[..., None, :]
    mass = maps.sum((-2, -1), keepdim=True)
    return maps / mass.clamp(min=torch.finfo(maps.dtype).tiny) * valid[..., None, None]


def _hat(center: Tensor, length: int) -> Tensor:
    """Linear interpolation weights of ``length`` cells: (B, K) to (B, K, length)."""
    positions = torch.arange(length, dtype=center.dtype, device=center.device)
    return (1 - (positions - center[..., None]).abs()).clamp(min=0)


def heatmap_loss(heatmaps: Tensor, points: Tensor, valid: Tensor) -> Tensor:
    """L_H: cross-entropy between the softmax of each map and its bilinear target, averaged over all B K keypoints.

    Args:
        heatmaps: (B, K, h, w) logits.
        points: (B, K, 2) true x, y in heatmap cells.
        valid: (B, K) bool, labeled and inside the crop; others count 0.

    Returns:
        A scalar.

    >>> points, valid = torch.tensor([[[1.5, 1.0]]]), torch.ones(1, 1, dtype=torch.bool)
    >>> round(heatmap_loss(torch.zeros(1, 1, 4, 4), points, valid).item(), 3)  # log 16: nothing is known
    2.773
    """
    height, width = heatmaps.shape[-2:]
    target = bilinear_targets(points, valid, height=height, width=width)
    log_mass = heatmaps.flatten(-2).log_softmax(-1)
    return -(target.flatten(-2) * log_mass).sum(-1).mean()


def coordinate_loss(heatmaps: Tensor, points: Tensor, valid: Tensor) -> Tensor:
    """L_C: mean absolute error of the soft-argmax coordinates over all B K keypoints and both axes, heatmap cells.

    Args:
        heatmaps: (B, K, h, w) logits.
        points: (B, K, 2) true x, y in heatmap cells.
        valid: (B, K) bool; others count 0.

    Returns:
        A scalar.

    >>> points, valid = torch.tensor([[[2.5, 1.5]]]), torch.ones(1, 1, dtype=torch.bool)
    >>> coordinate_loss(torch.zeros(1, 1, 4, 4), points, valid).item()  # one cell off in x
    0.5
    """
    return ((soft_argmax(heatmaps) - points).abs() * valid[..., None]).mean()
