"""Images as the inputs of detectors in ONNX files."""

from typing import Any

import cv2
import numpy as np

from everypose.core.arrays import Float32, Image

PERSON = 0
"""The class of people in COCO's 80 classes, numbered from 0."""
SIZE = 640
"""Side of the input of a detector whose file leaves it open."""
GRAY = 114
"""Value of the canvas's pixels that an image in its corner does not cover."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def input_size(shape: list[Any], default: tuple[int, int] = (SIZE, SIZE)) -> tuple[int, int]:
    """(width, height) of an input (B, 3, H, W); the default's where the file leaves a side open.

    >>> input_size([1, 3, 416, 320]), input_size(["batch", 3, "height", "width"])
    ((320, 416), (640, 640))
    """
    height, width = shape[2:]
    return width if isinstance(width, int) else default[0], height if isinstance(height, int) else default[1]


def stretched(image: Image, size: tuple[int, int]) -> Float32:
    """The whole image at (width, height), RGB from 0 to 1; shrunk by averaging, as the detectors learned it.

    >>> stretched(np.zeros((48, 64, 3), np.uint8), (32, 16)).shape
    (16, 32, 3)
    """
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32) / np.float32(255)


def in_corner(image: Image, size: tuple[int, int]) -> tuple[Image, float]:
    """Scale an image into the top left corner of a canvas, with its aspect; the rest is gray.

    Args:
        image: (H, W, 3) uint8.
        size: (width, height) of the canvas.

    Returns:
        The canvas (h, w, 3) uint8, and canvas pixels for each image pixel.

    >>> canvas, ratio = in_corner(np.zeros((10, 20, 3), np.uint8), (40, 40))
    >>> canvas[19:21, 0, 0].tolist(), ratio
    ([0, 114], 2.0)
    """
    height, width = image.shape[:2]
    ratio = corner_ratio((width, height), size)
    fitted = max(1, int(width * ratio)), max(1, int(height * ratio))
    canvas = np.full((size[1], size[0], 3), GRAY, np.uint8)
    canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
    return canvas, ratio


def corner_ratio(image_size: tuple[int, int], size: tuple[int, int]) -> float:
    """Canvas pixels for each image pixel; both sizes are (width, height).

    >>> corner_ratio((1280, 720), (640, 640))
    0.5
    """
    return min(size[0] / image_size[0], size[1] / image_size[1])


def planes(pixels: Float32) -> Float32:
    """(H, W, 3) as a batch (1, 3, H, W).

    >>> planes(np.zeros((48, 64, 3), np.float32)).shape
    (1, 3, 48, 64)
    """
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
