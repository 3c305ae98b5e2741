"""Colors of people: histograms of the upper and the lower half of a box, in CIELAB."""

import cv2
import numpy as np

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
    for row, box in enumerate(boxes):
        for half, (top, bottom) in enumerate(ROWS):
            pixels = _region(image, box, top, bottom)
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


def _region(image: Image, box: Float64, top: float, bottom: float) -> Image:
    """The middle of the box between two heights, sampled."""
    width, height = box[2] - box[0], box[3] - box[1]
    edges = (box[0] + LEFT * width, box[0] + RIGHT * width, box[1] + top * height, box[1] + bottom * height)
    left, right = np.clip(edges[:2], 0, image.shape[1]).round().astype(int)
    upper, lower = np.clip(edges[2:], 0, image.shape[0]).round().astype(int)
    step = max(1, max(right - left, lower - upper) // LONGEST_SIDE)
    return np.ascontiguousarray(image[upper:lower:step, left:right:step])


def _color_bins(lab: Image) -> Int64:
    """The histogram bin of each pixel of an OpenCV CIELAB image."""
    light = lab[..., 0].astype(np.int64) * LIGHTNESS_BINS // 256
    color = (lab[..., 1:].astype(np.int64) - 128 + COLOR_RANGE).clip(0, 2 * COLOR_RANGE - 1)
    color = color * COLOR_BINS // (2 * COLOR_RANGE)
    return np.ravel((light * COLOR_BINS + color[..., 0]) * COLOR_BINS + color[..., 1])
