"""Heatmaps to keypoints, in plain tensor operations that ONNX can express.

All decoders start from the highest cell and refine it: by a quarter of a cell; or by DARK, the peak of a parabola
through the logarithm of the smoothed map (Zhang et al., CVPR 2020), in its first form or in that of UDP, which differ
in their finite differences, their borders and what bounds the logarithm.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from everypose.core.decoder_names import UDP_DECODERS, Decoder
from everypose.core.geometry import Size

BlurBorder = Literal["zeros", "mirror", "symmetric"]
"""What lies outside a map: zeros, its mirror image without the border cells, or its mirror image with them."""

Blur = tuple[int, float]

# Radius in cells and sigma. MIPNet's code smooths with 11 cells and sigma 2, whatever the sigma of the targets; DARK's
# own code with 17 cells at 384 x 288 pixels, and the sigma that OpenCV chooses for 17; PP-TinyPose has weights of 1/4,
# 1/2 and 1/4.
_BLUR = (5, 2.0)
_BLUR_17 = (8, 2.9)
_BLUR_3 = (1, math.sqrt(0.5 / math.log(2)))
# UDP's decoder in Hugging Face transformers: 11 cells, sigma 0.8.
_BLUR_NARROW = (5, 0.8)
_DARK_BLURS = {"dark": _BLUR, "dark-17": _BLUR_17, "dark-3": _BLUR_3}
_DARK_LEAST = 1e-10
_UDP_RANGE = (0.001, 50.0)
# Keeps UDP's Hessian invertible: float32's epsilon, as in the release.
_UDP_EPSILON = float(torch.finfo(torch.float32).eps)


def decode(heatmaps: Tensor, decoder: Decoder, image_size: Size) -> Tensor:
    """The keypoint of each heatmap.

    Args:
        heatmaps: (..., h, w)
        decoder: the refinement. ``udp`` and ``udp-0.8`` are for crops of the UDP convention, the others for classic
            ones.
        image_size: (width, height) of the crops.

    Returns:
        (..., 3): x, y in crop pixels and the map's value at its highest cell (the first of equals), which is neither
        clipped nor smoothed. A map that is nowhere positive has found nothing: its x, y are 0, its value at most 0.

    >>> heatmaps = torch.zeros(1, 8, 6)
    >>> heatmaps[0, 4, 3], heatmaps[0, 4, 2] = 1.0, 0.5
    >>> decode(heatmaps, "quarter", Size(24, 32)).tolist()
    [[11.0, 16.0, 1.0]]
    """
    height, width = heatmaps.shape[-2:]
    confidence, position = heatmaps.flatten(-2).max(dim=-1)
    x = position % width
    y = torch.div(position, width, rounding_mode="floor")
    if decoder == "quarter":
        moves = quarter_offset(heatmaps, x, y)
    elif decoder in _DARK_BLURS:
        moves = dark(heatmaps, x, y, _DARK_BLURS[decoder])
    else:
        moves = dark_udp(heatmaps, x, y, narrow=decoder == "udp-0.8")
    end = 1 if decoder in UDP_DECODERS else 0
    stride_x, stride_y = (image_size[0] - end) / (width - end), (image_size[1] - end) / (height - end)
    found = confidence > 0
    found_x = torch.where(found, (x + moves[0]) * stride_x, 0.0)
    found_y = torch.where(found, (y + moves[1]) * stride_y, 0.0)
    return torch.stack([found_x, found_y, confidence], dim=-1)


def quarter_offset(heatmaps: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A quarter of a cell towards the larger neighbor on each axis; none in the two first and the last rows, columns.

    Args:
        heatmaps: (..., h, w)
        x: (...) columns of the highest cells.
        y: (...) rows of the highest cells.

    Returns:
        moves in x and in y, (...) cells.

    >>> heatmaps = torch.zeros(1, 8, 8)
    >>> heatmaps[0, 4, 3], heatmaps[0, 4, 2] = 1.0, 0.5
    >>> [move.tolist() for move in quarter_offset(heatmaps, torch.tensor([3]), torch.tensor([4]))]
    [[-0.25], [0.0]]
    """
    height, width = heatmaps.shape[-2:]
    at = _Around(heatmaps, x, y)
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    dx = torch.sign(at(1, 0) - at(-1, 0)) / 4
    dy = torch.sign(at(0, 1) - at(0, -1)) / 4
    return torch.where(inner, dx, 0.0), torch.where(inner, dy, 0.0)


def dark(heatmaps: Tensor, x: Tensor, y: Tensor, blur: Blur = _BLUR) -> tuple[Tensor, Tensor]:
    """DARK as first published: second differences over two cells; none within two cells of the border.

    The map is smoothed with zero padding, rescaled to its former maximum, and clamped to at least 1e-10 for the
    logarithm. The offset is not limited. Arguments and result as :func:`quarter_offset`; ``blur`` is the Gaussian's
    radius in cells and sigma.

    >>> y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    >>> heatmaps = torch.exp(-((x - 15.3) ** 2 + (y - 16) ** 2) / 8)[None]
    >>> round(dark(heatmaps, torch.tensor([15]), torch.tensor([16]))[0].item(), 2)
    0.3
    """
    height, width = heatmaps.shape[-2:]
    smooth = _blurred(heatmaps, "zeros", blur)
    highest = heatmaps.amax(dim=(-2, -1), keepdim=True) / smooth.amax(dim=(-2, -1), keepdim=True)
    around = _Around(smooth, x, y)

    def at(dx: int, dy: int) -> Tensor:
        return (around(dx, dy) * highest[..., 0, 0]).clamp(min=_DARK_LEAST).log()

    xx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4
    yy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    xy = (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) / 4
    dx, dy = _newton((at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2, xx, xy, yy)
    inner = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return torch.where(inner, dx, 0.0), torch.where(inner, dy, 0.0)


def dark_udp(heatmaps: Tensor, x: Tensor, y: Tensor, *, narrow: bool = False) -> tuple[Tensor, Tensor]:
    """DARK as in UDP and ViTPose: differences over one cell, up to the border, whose cells are repeated outside.

    The map is smoothed with reflection padding and clamped to 0.001 ... 50 for the logarithm. The offset is not
    limited. Arguments and result as :func:`quarter_offset`; ``narrow`` smooths as Hugging Face transformers
    does, with a sigma of 0.8 cells and border cells repeated in the mirror image.

    >>> y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    >>> heatmaps = torch.exp(-((x - 15.3) ** 2 + (y - 16) ** 2) / 8)[None]
    >>> round(dark_udp(heatmaps, torch.tensor([15]), torch.tensor([16]))[0].item(), 2)
    0.3
    """
    smooth = _blurred(heatmaps, "symmetric", _BLUR_NARROW) if narrow else _blurred(heatmaps, "mirror", _BLUR)
    around = _Around(smooth, x, y)

    def at(dx: int, dy: int) -> Tensor:
        return around(dx, dy).clamp(*_UDP_RANGE).log()

    here, right, left, below, above = at(0, 0), at(1, 0), at(-1, 0), at(0, 1), at(0, -1)
    xx = right - 2 * here + left + _UDP_EPSILON
    yy = below - 2 * here + above + _UDP_EPSILON
    xy = (at(1, 1) - right - below + 2 * here - left - above + at(-1, -1)) / 2
    return _newton((right - left) / 2, (below - above) / 2, xx, xy, yy)


class _Around:
    """Values of maps (..., h, w) around cells (x, y), each (...); outside a map its border is repeated."""

    def __init__(self, maps: Tensor, x: Tensor, y: Tensor) -> None:
        self.height, self.width = maps.shape[-2:]
        self.flat = maps.flatten(-2)
        self.x, self.y = x, y

    def __call__(self, dx: int, dy: int) -> Tensor:
        x = (self.x + dx).clamp(min=0, max=self.width - 1)
        y = (self.y + dy).clamp(min=0, max=self.height - 1)
        return self.flat.gather(-1, (y * self.width + x)[..., None])[..., 0]


def _newton(dx: Tensor, dy: Tensor, xx: Tensor, xy: Tensor, yy: Tensor) -> tuple[Tensor, Tensor]:
    """The step -H^-1 g to a parabola's extremum; none where the Hessian is singular."""
    determinant = xx * yy - xy * xy
    regular = determinant != 0
    divisor = torch.where(regular, determinant, 1.0)
    step_x, step_y = (xy * dy - yy * dx) / divisor, (xy * dx - xx * dy) / divisor
    return torch.where(regular, step_x, 0.0), torch.where(regular, step_y, 0.0)


def _blurred(maps: Tensor, border: BlurBorder, blur: Blur) -> Tensor:
    """Maps (..., h, w) smoothed by a square Gaussian window."""
    height, width = maps.shape[-2:]
    # Half precision, in which autocast would multiply, is too coarse for the logarithm's differences.
    with torch.autocast(maps.device.type, enabled=False):
        blurred: Tensor = _blur_matrix(height, border, maps, blur) @ maps @ _blur_matrix(width, border, maps, blur).T
    return blurred


def _blur_matrix(length: int, border: BlurBorder, like: Tensor, blur: Blur) -> Tensor:
    """(length, length): what each cell (column) adds to each smoothed one (row), on one axis."""
    places = torch.arange(length, dtype=like.dtype, device=like.device)
    row, column, last = places[:, None], places, length - 1
    matrix = _blur_weight(row - column, blur)
    if border == "symmetric":
        matrix = matrix + _blur_weight(row + column + 1, blur) + _blur_weight(row + column - 2 * last - 1, blur)
    if border == "mirror":
        # The mirror images of all columns but those at the border, in which they are mirrored.
        matrix = matrix + _blur_weight(row + column, blur) * (column > 0)
        matrix = matrix + _blur_weight(row + column - 2 * last, blur) * (column < last)
    return matrix


def _blur_weight(distance: Tensor, blur: Blur) -> Tensor:
    radius, sigma = blur
    total = sum(math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1))
    return torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= radius) / total
