"""Inputs of an estimator: paths, arrays, PIL images, the bytes of image files, and open files."""

from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from everypose.core.arrays import Image
from everypose.data.images import MOST_PIXELS, decode_image, read_image
from everypose.data.web_images import fetch_image, is_web_address
from everypose.errors import EveryposeError, as_user_error

ImageLike: TypeAlias = str | PathLike[str] | Image | bytes | IO[bytes]
"""A path, a (H, W, 3) uint8 RGB array, the bytes of an image file or an open one; a PIL image at run time, too."""


def is_single_image(value: object) -> bool:
    """Whether a value is one image, and not a sequence of images.

    Example:
        >>> is_single_image("a.jpg"), is_single_image(["a.jpg"])
        (True, False)
    """
    single = isinstance(value, str | PathLike | np.ndarray | bytes | bytearray | memoryview)
    return single or _is_pil(value) or hasattr(value, "read") or _is_tensor(value)


def image_pixels(image: object) -> Image:
    """Get the pixels of anything that an estimator accepts.

    Args:
        image: a path, a web address, a (H, W, 3) uint8 RGB array, a PIL image, the bytes of an image file, or one open
            for reading.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        EveryposeError: if it cannot be read, or is none of these; the message lists what is accepted.

    Example:
        >>> image_pixels(np.zeros((2, 3, 3), np.uint8)).shape
        (2, 3, 3)
    """
    if isinstance(image, np.ndarray):
        return _array_pixels(image)
    if isinstance(image, str) and is_web_address(image):
        return fetch_image(image)
    if isinstance(image, str | PathLike):
        return read_image(Path(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image), "bytes")
    if _is_pil(image):
        return _pil_pixels(image)
    if hasattr(image, "read"):
        return _file_pixels(image)
    if _is_tensor(image):
        raise EveryposeError(
            f"a tensor is not accepted as an image: give an array, such as tensor.permute(1, 2, 0).numpy() of a uint8 "
            f"RGB tensor (this one is {_shape(image)})"
        )
    raise EveryposeError(
        f"{type(image).__name__} is not accepted as an image: give a path, a (height, width, 3) uint8 RGB array, a PIL "
        "image, the bytes of an image file or an open file"
    )


def image_file(image: object) -> Path | None:
    """The file of an image that was given by its path; None for others.

    >>> image_file("photos/a.jpg").name
    'a.jpg'
    """
    return Path(image) if isinstance(image, str | PathLike) else None


def _array_pixels(image: np.ndarray[Any, Any]) -> Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise EveryposeError(
            f"an image array must be (height, width, 3) uint8 RGB, not {image.dtype} of shape {image.shape}"
        )
    if image.shape[0] * image.shape[1] > MOST_PIXELS:
        raise EveryposeError(f"an image array of shape {image.shape} is too large: {MOST_PIXELS:,} pixels are the most")
    return np.ascontiguousarray(image, np.uint8)


def _pil_pixels(image: Any) -> Image:
    """A PIL image upright and in RGB; its EXIF orientation is applied, as to files."""
    with as_user_error("cannot read the PIL image"):
        from PIL import ImageOps

        upright: Any = ImageOps.exif_transpose(image)
        return _array_pixels(np.asarray(upright.convert("RGB"), np.uint8))


def _file_pixels(file: Any) -> Image:
    name = str(getattr(file, "name", "the open file"))
    with as_user_error(f"cannot read the image {name}"):
        content = file.read()
    if not isinstance(content, bytes):
        raise EveryposeError(f"{name} is open as text: open images in binary mode, open(path, 'rb')")
    return decode_image(content, name)


def _is_pil(value: object) -> bool:
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def _is_tensor(value: object) -> bool:
    """Whether a value is a tensor of torch, TensorFlow or JAX; none of them is imported for it."""
    return type(value).__module__.split(".")[0] in ("torch", "tensorflow", "jax", "jaxlib") and hasattr(value, "shape")


def _shape(value: Any) -> str:
    return f"{getattr(value, 'dtype', '')} of shape {tuple(value.shape)}"
