"""Resizing an image for a single-stage network."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core import geometry
from everypose.core.arrays import Image
from everypose.methods.single_stage.settings import SMALLEST_SIDE

LONGEST_RATIO = 8
"""Images up to this many times as long as wide get the model's full size; longer ones are shrunk (`fit`)."""
LARGEST_SIDE = 32_704
"""OpenCV warps images whose sides are below 32,767; this is the last multiple of 64 there."""


def resize(image: Image, size: int, step: int) -> tuple[Image, npt.NDArray[np.float64]]:
    """Resize an image for the network: bilinear, black outside.

    Returns:
        The canvas (H', W', 3) uint8 and the (2, 3) matrix from image pixels to canvas pixels.
    """
    image, shrink = _within_opencv(image)
    (width, height), matrix = fit(image.shape[0], image.shape[1], size, step)
    canvas = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    return np.asarray(canvas, np.uint8), _compose(matrix, shrink)


def fit(height: int, width: int, size: int, step: int) -> tuple[tuple[int, int], npt.NDArray[np.float64]]:
    """Size (W', H') of the canvas for an image and the (2, 3) matrix from image pixels to canvas pixels.

    The short side gets ``size`` pixels (`geometry.fit_short_side`), unless the image is more than eight times as long
    as wide: then it is scaled and padded with black to hold ``8 size^2`` pixels at most, so that neither a panorama
    nor a strip one pixel high can take all memory.
    """
    canvas, matrix = geometry.fit_short_side(height, width, size, step)
    pixels = LONGEST_RATIO * min(canvas) ** 2
    if max(canvas) * min(canvas) <= pixels:
        return canvas, matrix
    short, long = sorted((height, width))
    short_side = max(SMALLEST_SIDE, int(math.sqrt(pixels * short / long)) // step * step)
    longest = min(pixels // short_side // step * step, LARGEST_SIDE)
    scale = min(short_side / short, longest / long)
    wide, high = (max(SMALLEST_SIDE, math.ceil(round(scale * side, 6) / step) * step) for side in (width, height))
    center = (int(width / 2 + 0.5), int(height / 2 + 0.5))
    return (wide, high), geometry.similarity(center, scale, 0.0, (wide / 2, high / 2))


def _within_opencv(image: Image) -> tuple[Image, npt.NDArray[np.float64]]:
    """Shrink an image whose sides OpenCV cannot warp; also the (2, 3) matrix that did it."""
    height, width = image.shape[:2]
    factor = math.ceil(max(height, width) / LARGEST_SIDE)
    if factor == 1:
        return image, np.eye(2, 3)
    new_width, new_height = math.ceil(width / factor), math.ceil(height / factor)
    small = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    scale = np.array([new_width / width, new_height / height])
    # Pixel centres are integers: the image's corner (-0.5, -0.5) stays where it is.
    return np.asarray(small, np.uint8), np.column_stack([np.diag(scale), 0.5 * scale - 0.5])


def _compose(outer: npt.NDArray[np.float64], inner: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The (2, 3) matrix that applies ``inner``, then ``outer``."""
    composed: npt.NDArray[np.float64] = outer @ np.vstack([inner, [0.0, 0.0, 1.0]])
    return composed
