"""Coarse-to-fine search: heatmaps at every second pixel, then at all pixels of a tile around each peak.

The peak of a keypoint is several pixels wide, so a quarter of the pixels shows it. Each person then needs a fraction of
the operations.
"""

import torch
from torch import Tensor

from everypose.methods.single_stage.decoding import STRIDE, Decoder, decode

TILE = 7
"""Side of a tile in pixels: a peak is at most one pixel from the coarse peak; its neighbors are one pixel further, and
the pixels that smooth these another one."""


def tiles_around(coarse: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Choose the tiles around the peaks of coarse maps; at the border they are moved into the image.

    Args:
        coarse: (B, P, (h + 1) / 2, (w + 1) / 2), P maps in each of B images.
        size: (h, w), each at least `TILE` (images have 64 pixels or more, their maps 16).

    Returns:
        pixels (B, P, TILE x TILE), row-major indices of output pixels; corners (B, P, 2), x and y of the first pixel.

    >>> pixels, corners = tiles_around(torch.zeros(1, 2, 8, 8), (16, 16))
    >>> pixels.shape, corners.shape
    (torch.Size([1, 2, 49]), torch.Size([1, 2, 2]))
    """
    (height, width), columns = size, coarse.shape[-1]
    peak = coarse.flatten(2).argmax(-1)
    y, x = ((2 * place - TILE // 2).clamp(min=0) for place in (peak // columns, peak % columns))
    y, x = y.clamp(max=height - TILE), x.clamp(max=width - TILE)
    step = torch.arange(TILE, device=coarse.device)
    pixels = (y[..., None, None] + step[:, None]) * width + x[..., None, None] + step
    return pixels.flatten(2), torch.stack([x, y], dim=-1)


def decode_tiles(tiles: Tensor, corners: Tensor, decoder: Decoder) -> Tensor:
    """Decode smoothed tiles (B, P, TILE, TILE) with their corners to (B, P, 3): x, y in input pixels, peak value.

    >>> tiles = torch.zeros(1, 1, TILE, TILE)
    >>> tiles[0, 0, 3, 3] = 0.9
    >>> x, y, score = decode_tiles(tiles, corners=torch.tensor([[[10, 20]]]), decoder="quarter")[0, 0].tolist()
    >>> x, y, round(score, 1)  # the tile's middle, in input pixels
    (54.0, 94.0, 0.9)
    """
    found = decode(tiles, decoder)
    return torch.cat([found[..., :2] + STRIDE * corners, found[..., 2:]], dim=-1)
