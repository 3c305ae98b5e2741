"""Peaks of the center map (CID, section 3.2, with the released pooling and windows)."""

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PEOPLE = 30
SMALLEST_CENTER_SCORE = 0.01


def smooth(heatmaps: Tensor, pool: int) -> Tensor:
    """Average a map and its ``pool`` x ``pool`` average pooling, in which zeros beyond the border count.

    >>> heatmap = torch.zeros(1, 1, 3, 3)
    >>> heatmap[0, 0, 1, 1] = 9
    >>> smooth(heatmap, pool=3)[0, 0].tolist()
    [[0.5, 0.5, 0.5], [0.5, 5.0, 0.5], [0.5, 0.5, 0.5]]
    """
    return (heatmaps + F.avg_pool2d(heatmaps, pool, stride=1, padding=(pool - 1) // 2)) / 2


def find_peaks(center_map: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Find the 30 highest local maxima of each smoothed center map; those above ``SMALLEST_CENTER_SCORE`` are people.

    The window of a maximum is 3 pixels; 5 if the mean side of the map is above 200, 7 if it is above 300.

    Args:
        center_map: (B, 1, h, w), smoothed.
        side: a scalar, (h + w) / 2; a tensor, so that one exported graph serves every size.

    Returns:
        scores (B, 30), descending in each image, 0 where there are fewer maxima; yx (B, 30, 2) in output pixels.

    >>> center_map = torch.zeros(1, 1, 48, 48)
    >>> center_map[0, 0, 10, 20], center_map[0, 0, 30, 5] = 0.5, 0.9
    >>> scores, yx = find_peaks(center_map, torch.tensor(48.0))
    >>> scores[0, :3], yx[0, :2].tolist()
    (tensor([0.9000, 0.5000, 0.0000]), [[30, 5], [10, 20]])
    """
    # Windows of 5 and 7 are windows of 3 taken twice and three times.
    three = F.max_pool2d(center_map, 3, stride=1, padding=1)
    five = F.max_pool2d(three, 3, stride=1, padding=1)
    seven = F.max_pool2d(five, 3, stride=1, padding=1)
    highest = torch.where(side > 300, seven, torch.where(side > 200, five, three))
    peaks = torch.where(center_map == highest, center_map, 0.0).flatten(1)
    scores, position = peaks.topk(MOST_PEOPLE)
    width = center_map.shape[-1]
    return scores, torch.stack([position // width, position % width], dim=-1)
