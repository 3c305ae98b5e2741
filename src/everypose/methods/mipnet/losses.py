"""MIPNet's training loss (equation 1): every person of a crop against the heatmaps of their own."""

from torch import Tensor

from everypose.methods.top_down.losses import joints_mse


def losses(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Half the mean squared error of every person's heatmaps, averaged over the batch, each divided by N.

    Training minimizes their sum. In a crop that shows fewer than N people, the targets of the primary person fill the
    remaining instances.

    Args:
        heatmaps: (B, N, K, h, w), of any precision.
        targets: (B, N, K, h, w), float32.
        weights: (B, N, K), 1 for keypoints with a target, 0 for others. These add nothing and still count in the mean.

    Returns:
        ``instance0`` (the primary), ``instance1`` and so on, to scalars.

    Example:
        >>> import torch
        >>> heatmaps, targets = torch.zeros(1, 2, 3, 4, 4), torch.ones(1, 2, 3, 4, 4)
        >>> {name: float(loss) for name, loss in losses(heatmaps, targets, torch.ones(1, 2, 3)).items()}
        {'instance0': 0.25, 'instance1': 0.25}
    """
    each = joints_mse(heatmaps.float(), targets, weights, per_sample=True).mean(0) / 2
    return {f"instance{i}": loss / len(each) for i, loss in enumerate(each.unbind())}
