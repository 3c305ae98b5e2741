"""From heatmaps to keypoints, in NumPy, for ViTPose's networks in ONNX files of other projects.

Same results as :func:`everypose.methods.top_down.decoding.decode`, which networks in torch and exported models use.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64
from everypose.core.geometry import Size

BLUR_CELLS = 11
"""Length of the Gaussian window of ``udp``; OpenCV's sigma for it is 2."""
LOWEST, HIGHEST = 0.001, 50.0
"""Bounds of the smoothed heatmap before its logarithm is taken."""
EPSILON = float(np.finfo(np.float32).eps)
"""Keeps the Hessian of ``udp`` invertible, as in the release."""


def decode(heatmaps: Float32, decoder: Literal["quarter", "udp"], crop_size: Size) -> Float32:
    """Take the highest cell of each heatmap, and refine it.

    Args:
        heatmaps: (B, K, h, w).
        decoder: ``quarter`` moves it by a quarter of a cell towards the higher neighbor, for classic crops; ``udp`` to
            the peak of a parabola through the logarithm of the smoothed map (DARK in the form of UDP; Huang et al.,
            CVPR 2020), for crops of the UDP convention.
        crop_size: (width, height) of the crops, in pixels.

    Returns:
        (B, K, 3): x, y in crop pixels and the map's highest value. A map that is nowhere positive has found nothing:
        its x and y are 0.

    Example:
        >>> maps = np.zeros((1, 1, 8, 6), np.float32)
        >>> maps[0, 0, 4, 2:4] = 1, 0.5
        >>> decode(maps, "quarter", Size(24, 32)).tolist()
        [[[9.0, 16.0, 1.0]]]
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.reshape(*heatmaps.shape[:2], -1)
    position = flat.argmax(axis=2)
    score = np.take_along_axis(flat, position[..., None], axis=2)
    cells = np.stack([position % width, position // width], axis=2)
    move, end = (_udp_move, 1) if decoder == "udp" else (_quarter_move, 0)
    stride = (np.array(crop_size) - end) / (np.array([width, height]) - end)
    points = np.where(score > 0, (cells + move(heatmaps, cells)) * stride, 0.0)
    return np.concatenate([points, score], axis=2).astype(np.float32)


def _quarter_move(heatmaps: Float32, cells: npt.NDArray[np.intp]) -> Float64:
    """Moves (B, K, 2) of a quarter of a cell; none in the two first rows and columns, and the last ones."""
    around = _around(heatmaps, cells)
    signs = np.sign(np.stack([around[..., 1, 2] - around[..., 1, 0], around[..., 2, 1] - around[..., 0, 1]], axis=2))
    last = np.array(heatmaps.shape[:-3:-1]) - 1
    inside = ((cells > 1) & (cells < last)).all(axis=2, keepdims=True)
    return np.where(inside, signs / 4, 0.0)


def _udp_move(heatmaps: Float32, cells: npt.NDArray[np.intp]) -> Float64:
    """Moves (B, K, 2) to the peaks of the parabolas."""
    rows, columns = (blur_matrix(length) for length in heatmaps.shape[-2:])
    a = np.log(_around(rows @ heatmaps @ columns.T, cells).clip(LOWEST, HIGHEST))
    here, left, right, above, below = a[..., 1, 1], a[..., 1, 0], a[..., 1, 2], a[..., 0, 1], a[..., 2, 1]
    dx, dy = (right - left) / 2, (below - above) / 2
    xx, yy = right - 2 * here + left + EPSILON, below - 2 * here + above + EPSILON
    xy = (a[..., 2, 2] - right - below + 2 * here - left - above + a[..., 0, 0]) / 2
    determinant = xx * yy - xy * xy
    regular = determinant != 0
    steps = np.stack([xy * dy - yy * dx, xy * dx - xx * dy], axis=2) / np.where(regular, determinant, 1.0)[..., None]
    return np.where(regular[..., None], steps, 0.0)


def _around(maps: npt.NDArray[np.floating], cells: npt.NDArray[np.intp]) -> Float64:
    """(B, K, 3, 3) cells around those at x, y (B, K, 2); outside a map its border is repeated."""
    height, width = maps.shape[-2:]
    rows = (cells[..., 1, None] + np.arange(-1, 2)).clip(0, height - 1)
    columns = (cells[..., 0, None] + np.arange(-1, 2)).clip(0, width - 1)
    batch, keypoint = np.ogrid[: maps.shape[0], : maps.shape[1]]
    found = maps[batch[..., None, None], keypoint[..., None, None], rows[..., :, None], columns[..., None, :]]
    return np.asarray(found, np.float64)


def blur_matrix(length: int) -> Float32:
    """Return the share (length, length) of each cell (column) in each smoothed one (row); borders are mirrored.

    >>> blur_matrix(48).sum(axis=1).round(3)[:2].tolist()
    [1.0, 1.0]
    """
    window = cv2.getGaussianKernel(BLUR_CELLS, 0).T
    identity = np.eye(length)
    blurred = cv2.sepFilter2D(identity, cv2.CV_64F, window, np.ones(1), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred.T, np.float32)
