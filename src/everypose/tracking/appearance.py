"""Colors of people: histograms of the upper and the lower half of a box, in CIELAB."""

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Image, Int64

# The middle half of the box's width; the head and the feet are left out, whose rows are mostly background.
LEFT, RIGHT = 0.25, 0.75
ROWS = ((0.15, 0.5), (0.5, 0.85))
LIGHTNESS_BINS, COLOR_BINS = 8, 6
# Of OpenCV's 8-bit a and b; clothes beyond it count in the outermost bins.
COLOR_RANGE = 48
BINS = LIGHTNESS_BINS * COLOR_BINS**2
HISTOGRAM_BINS = len(ROWS) * BINS
LONGEST_SIDE = 64
"""Regions are sampled at most this finely, so that the time does not grow with the people's size."""


def _bin_table() -> npt.NDArray[np.uint16]:
    """(1, 256, 3) what each value of lightness, a and b adds to the number of a pixel's bin."""
    values = np.arange(256)
    color = (values - 128 + COLOR_RANGE).clip(0, 2 * COLOR_RANGE - 1) * COLOR_BINS // (2 * COLOR_RANGE)
    parts = (values * LIGHTNESS_BINS // 256 * COLOR_BINS**2, color * COLOR_BINS, color)
    return np.stack(parts, axis=1).astype(np.uint16)[None]


BIN_TABLE = _bin_table()


def color_histograms(image: Image, boxes: Float64) -> Float64:
    """The people's colors as histograms (N, 2 x 288), each with the sum 1, or 0 for a person outside the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x1 y1 x2 y2.

    Example:
        >>> red = np.full((40, 20, 3), (255, 0, 0), np.uint8)
        >>> histogram = color_histograms(red, np.array([[0.0, 0.0, 20.0, 40.0]]))
        >>> histogram.shape, float(histogram.max())
        ((1, 576), 0.5)
    """
    histograms = np.zeros((len(boxes), len(ROWS), BINS))
    regions = _regions(boxes, image.shape[1], image.shape[0])
    for row, half in np.ndindex(regions.shape[:2]):
        pixels = _sampled(image, *regions[row, half].tolist())
        if pixels.size:
            bins = _color_bins(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))
            histograms[row, half] = np.bincount(bins, minlength=BINS) / len(bins)
    flat = histograms.reshape(len(boxes), HISTOGRAM_BINS)
    total = flat.sum(axis=1, keepdims=True)
    shares: Float64 = np.divide(flat, total, out=np.zeros_like(flat), where=total > 0)
    return shares


def color_similarity(first: Float64, second: Float64) -> Float64:
    """(T, N) Bhattacharyya coefficients of histograms (T, B) and (N, B); 1 where either is empty (colors unknown).

    Example:
        >>> color_similarity(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5], [1.0, 0.0]])).round(2).tolist()
        [[1.0, 0.71]]
    """
    similarity: Float64 = np.sqrt(first) @ np.sqrt(second).T
    unknown = (first.sum(axis=1) == 0)[:, None] | (second.sum(axis=1) == 0)[None, :]
    return np.where(unknown, 1.0, similarity)


def _regions(boxes: Float64, width: int, height: int) -> Int64:
    """(N, 2, 4) left, right, upper and lower edge of what is compared of each box, within the image."""
    sides = boxes[:, 2:] - boxes[:, :2]
    across = boxes[:, :1] + np.array([LEFT, RIGHT]) * sides[:, :1]
    down = boxes[:, 1:2, None] + np.array(ROWS) * sides[:, 1:, None]
    edges = np.empty((len(boxes), len(ROWS), 4))
    edges[..., :2] = across.clip(0, width)[:, None]
    edges[..., 2:] = down.clip(0, height)
    return edges.round().astype(np.int64)


def _sampled(image: Image, left: int, right: int, upper: int, lower: int) -> Image:
    """A region of the image; of a large one every n-th row and column."""
    step = max(1, max(right - left, lower - upper) // LONGEST_SIDE)
    return np.ascontiguousarray(image[upper:lower:step, left:right:step])


def _color_bins(lab: Image) -> npt.NDArray[np.uint16]:
    """The histogram bin of each pixel of an OpenCV CIELAB image."""
    parts = cv2.LUT(lab, BIN_TABLE)
    return np.ravel(parts[..., 0] + parts[..., 1] + parts[..., 2])
