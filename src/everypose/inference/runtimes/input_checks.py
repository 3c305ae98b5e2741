"""Checks of the images and crops that runtimes take."""

from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError
from everypose.methods.single_stage.settings import SMALLEST_SIDE


def check_batch(images: npt.NDArray[Any], step: int) -> None:
    """Refuse what is not a (B, H, W, 3) uint8 batch with H and W multiples of ``step``, 64 or more.

    >>> check_batch(np.zeros((1, 100, 100, 3), np.uint8), step=64)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: a model takes (B, H, W, 3) uint8 images whose height and width are ...
    """
    shaped = images.ndim == 4 and images.shape[3] == 3 and len(images) > 0 and min(images.shape[1:3]) >= SMALLEST_SIDE
    if images.dtype != np.uint8 or not shaped or images.shape[1] % step or images.shape[2] % step:
        raise EveryposeError(
            f"a model takes (B, H, W, 3) uint8 images whose height and width are multiples of {step} from "
            f"{SMALLEST_SIDE} on, not {images.dtype} of shape {images.shape}"
        )


def check_crops(crops: npt.NDArray[Any]) -> None:
    """Refuse what is not a (B, H, W, 3) uint8 batch.

    >>> check_crops(np.zeros((2, 8, 6, 3), np.float32))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: a top-down model takes (B, H, W, 3) uint8 crops, not float32 of shape (2, 8, 6, 3)
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[3] != 3 or 0 in crops.shape:
        raise EveryposeError(
            f"a top-down model takes (B, H, W, 3) uint8 crops, not {crops.dtype} of shape {crops.shape}"
        )
