"""Decoding as published, where ours holds back."""

import numpy as np
import torch
from torch import Tensor

from everypose.topdown.decoding import dark_udp


def dark_udp_cells(heatmaps: Tensor) -> np.ndarray:
    """Maps (..., h, w) to x, y in cells, by DARK-UDP with its moves of any length."""
    position = heatmaps.flatten(-2).argmax(dim=-1)
    x, y = position % heatmaps.shape[-1], position // heatmaps.shape[-1]
    dx, dy = dark_udp(heatmaps, x, y)
    return torch.stack([x + dx, y + dy], dim=-1).numpy()
