"""Looking for a person's keypoints at every second pixel first, and then at all pixels around what was found.

A keypoint's peak on a heatmap is several pixels wide, so that it shows on a quarter of the pixels too. That leaves a
person a fraction of the work.
"""

import torch
from torch import Tensor

from everypose.methods.single_stage.decoding import STRIDE, Decoder, decode

TILE = 7
"""Pixels on a side: a peak lies a pixel at most from that of every second pixel, its neighbours one further, and what
smooths those another one."""


def tiles_around(coarse: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The tiles around the peaks of maps of every second pixel; at the border of the image they end there.

    Args:
        coarse: (B, P, (h + 1) / 2, (w + 1) / 2), P maps in each of B images.
        size: h, w, each `TILE` at least (images are 64 pixels or more, their maps 16).

    Returns:
        pixels (B, P, TILE x TILE), numbers of output pixels, row by row; corners (B, P, 2), x and y of the first.
    """
    (height, width), columns = size, coarse.shape[-1]
    peak = coarse.flatten(2).argmax(-1)
    y, x = ((2 * place - TILE // 2).clamp(min=0) for place in (peak // columns, peak % columns))
    y, x = y.clamp(max=height - TILE), x.clamp(max=width - TILE)
    step = torch.arange(TILE, device=coarse.device)
    pixels = (y[..., None, None] + step[:, None]) * width + x[..., None, None] + step
    return pixels.flatten(2), torch.stack([x, y], dim=-1)


def decode_tiles(tiles: Tensor, corners: Tensor, decoder: Decoder) -> Tensor:
    """Smoothed maps (B, P, TILE, TILE) and their corners to (B, P, 3): x, y in input pixels, the peak's value."""
    found = decode(tiles, decoder)
    return torch.cat([found[..., :2] + STRIDE * corners, found[..., 2:]], dim=-1)
