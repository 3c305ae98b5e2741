"""The Gaussian heatmaps of top-down methods, rendered on the device."""

import torch
from torch import Tensor

from everypose.core.geometry import Size


def gaussian_targets(
    keypoints: Tensor, image_size: Size, heatmap_size: Size, sigma: float, udp: Tensor | bool
) -> tuple[Tensor, Tensor]:
    """Heatmaps with a Gaussian for each keypoint, exactly 0 beyond 3 sigma on either axis of the keypoint's cell.

    Classic Gaussians are centered on the cell, and so are 1 there; those of UDP are centered on the keypoint itself.
    A keypoint whose patch of 3 sigma does not touch the map has weight 0; one that lies outside but near has weight 1
    and a map with the part of the patch that is inside (also, as in the release, the empty one of a patch that ends
    just before the first cell).

    Args:
        keypoints: (B, ..., K, 3): x, y in crop pixels and weight; drawn where the weight is positive.
        image_size: (width, height) of the crops.
        heatmap_size: (width, height) of the maps.
        sigma: cells.
        udp: the convention, of all or (B,) bool of each.

    Returns:
        targets (B, ..., K, h, w) float32 and their weights (B, ..., K) float32, 0 or 1.

    >>> keypoints = torch.tensor([[[16.0, 8.0, 1.0], [500.0, 8.0, 1.0]]])  # the second lies outside
    >>> heatmaps, weights = gaussian_targets(keypoints, Size(32, 32), Size(8, 8), sigma=1.0, udp=False)
    >>> heatmaps.shape, heatmaps[0, 0, 2, 4].item(), weights.tolist()
    (torch.Size([1, 2, 8, 8]), 1.0, [[1.0, 0.0]])
    """
    if isinstance(udp, bool):
        udp = torch.full((1,), udp, device=keypoints.device)
    udp = udp.reshape(-1, *[1] * (keypoints.dim() - 2))
    along_x, near_x = _along(keypoints[..., 0], image_size[0], heatmap_size[0], sigma, udp)
    along_y, near_y = _along(keypoints[..., 1], image_size[1], heatmap_size[1], sigma, udp)
    weights = ((keypoints[..., 2] > 0) & near_x & near_y).float()
    return (along_y * weights[..., None])[..., :, None] * along_x[..., None, :], weights


def _along(position: Tensor, pixels: int, cells: int, sigma: float, udp: Tensor) -> tuple[Tensor, Tensor]:
    """One axis: positions (..., K) in crop pixels -> the Gaussian (..., K, cells), and whether it touches the map."""
    exact = torch.where(udp, position * ((cells - 1) / (pixels - 1)), position * (cells / pixels))
    # Truncated, not floored: between -1 and 0 it is cell 0, as in the release.
    cell = (exact + 0.5).trunc()
    center = torch.where(udp, exact, cell)
    radius = 3 * sigma
    places = torch.arange(cells, device=position.device)
    inside = (places - cell[..., None]).abs() <= radius
    gaussian = torch.exp(-((places - center[..., None]) ** 2) / (2 * sigma**2)) * inside
    return gaussian.float(), (cell - radius < cells) & (cell + radius + 1 >= 0)
