"""Images as the inputs of detectors in ONNX files."""

from typing import Any

import cv2
import numpy as np

from everypose.core.arrays import Float32, Image

PERSON = 0
"""The class of people in COCO's 80 classes, numbered from 0."""
SIZE = 640
"""Side of the input of a detector whose file leaves it open."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def input_size(shape: list[Any], default: tuple[int, int] = (SIZE, SIZE)) -> tuple[int, int]:
    """(width, height) of an input (B, 3, H, W); the default's where the file leaves a side open."""
    height, width = shape[2:]
    return width if isinstance(width, int) else default[0], height if isinstance(height, int) else default[1]


def stretched(image: Image, size: tuple[int, int]) -> Float32:
    """The whole image at (width, height), RGB from 0 to 1; shrunk by averaging, as the detectors learned it."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32) / np.float32(255)


def planes(pixels: Float32) -> Float32:
    """(H, W, 3) as a batch (1, 3, H, W)."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
