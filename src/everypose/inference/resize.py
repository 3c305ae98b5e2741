"""Resizing an image for a single-stage network."""

import math

import cv2
import numpy as np

from everypose.core import geometry
from everypose.core.arrays import Float64, Image
from everypose.core.geometry import Size
from everypose.methods.single_stage.settings import SMALLEST_SIDE

LONGEST_RATIO = 8
"""Images up to this many times as long as wide get the model's full size; longer ones are shrunk (`fit`)."""
LARGEST_SIDE = 32_704
"""OpenCV warps images whose sides are below 32,767; this is the last multiple of 64 there."""


def resize(image: Image, size: int, step: int) -> tuple[Image, Float64]:
    """Resize an image for a single-stage network: bilinear, black outside.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: short side of the canvas, in pixels.
        step: both sides of the canvas are multiples of this.

    Returns:
        The canvas (H', W', 3) uint8 and the (2, 3) matrix from image pixels to canvas pixels.

    >>> import numpy as np
    >>> canvas, matrix = resize(np.zeros((480, 640, 3), np.uint8), 256, 64)
    >>> canvas.shape, matrix.shape
    ((256, 384, 3), (2, 3))
    """
    image, shrink = _within_opencv(image)
    fitted, matrix = fit(Size(image.shape[1], image.shape[0]), size, step)
    canvas = cv2.warpAffine(image, matrix, fitted, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    return np.asarray(canvas, np.uint8), _compose(matrix, shrink)


def fit(image: Size, size: int, step: int) -> tuple[Size, Float64]:
    """Return the size of the canvas for an image, and the (2, 3) matrix from image pixels to canvas pixels.

    The short side gets ``size`` pixels (:func:`everypose.core.geometry.fit_short_side`), unless one side of the image
    is more than eight times the other: then it is scaled and padded with black to hold at most ``8 size^2`` pixels, so
    that neither a panorama nor a strip one pixel high needs unlimited memory.

    >>> fit(Size(640, 480), 512, 64)[0]
    Size(width=704, height=512)
    """
    canvas, matrix = geometry.fit_short_side(image, size, step)
    pixels = LONGEST_RATIO * min(canvas) ** 2
    if max(canvas) * min(canvas) <= pixels:
        return canvas, matrix
    short, long = sorted(image)
    short_side = max(SMALLEST_SIDE, int(math.sqrt(pixels * short / long)) // step * step)
    longest = min(pixels // short_side // step * step, LARGEST_SIDE)
    scale = min(short_side / short, longest / long)
    wide, high = (max(SMALLEST_SIDE, math.ceil(round(scale * side, 6) / step) * step) for side in image)
    center = (int(image.width / 2 + 0.5), int(image.height / 2 + 0.5))
    return Size(wide, high), geometry.similarity(center, scale, 0.0, (wide / 2, high / 2))


def _within_opencv(image: Image) -> tuple[Image, Float64]:
    """Shrink an image whose sides OpenCV cannot warp; also the (2, 3) matrix that did it."""
    height, width = image.shape[:2]
    factor = math.ceil(max(height, width) / LARGEST_SIDE)
    if factor == 1:
        return image, np.eye(2, 3)
    new_width, new_height = math.ceil(width / factor), math.ceil(height / factor)
    small = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    scale = np.array([new_width / width, new_height / height])
    # Pixel centers are integers: the image's corner (-0.5, -0.5) stays where it is.
    return np.asarray(small, np.uint8), np.column_stack([np.diag(scale), 0.5 * scale - 0.5])


def _compose(outer: Float64, inner: Float64) -> Float64:
    """The (2, 3) matrix that applies ``inner``, then ``outer``."""
    composed: Float64 = outer @ np.vstack([inner, [0.0, 0.0, 1.0]])
    return composed
