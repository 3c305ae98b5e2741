"""The loss of heatmaps that all top-down methods share."""

from torch import Tensor


def joints_mse(heatmaps: Tensor, targets: Tensor, weights: Tensor, per_sample: bool = False) -> Tensor:
    """The mean over keypoints and cells of (w (heatmap - target))^2; so the weight counts squared.

    Keypoints of weight 0 add nothing but are counted in the mean. MIPNet, HRNet and SimpleBaseline take half of it,
    ViTPose and PoseBH all.

    Args:
        heatmaps: (B, ..., K, h, w)
        targets: (B, ..., K, h, w)
        weights: (B, ..., K)
        per_sample: whether to keep the leading dimensions.

    Returns:
        The mean over all, or (B, ...) means of each sample.

    Example:
        >>> import torch
        >>> heatmaps, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> float(joints_mse(heatmaps, targets, torch.tensor([[1.0, 0.0]])))
        0.5
    """
    squared = ((heatmaps - targets) * weights[..., None, None]).square()
    return squared.mean(dim=(-3, -2, -1)) if per_sample else squared.mean()
