"""Limits on an image, checked from its header before anything is decoded."""

from everypose.data.image_header import parse_header
from everypose.errors import EveryposeError
from everypose.serving.failures import TooLargeError, UnprocessableError, UnsupportedMediaError

KINDS = "JPEG, PNG, WebP, BMP or TIFF"
MOST_SCANS = 64
"""Most scans of a progressive JPEG: encoders write about ten, and each takes as long to decode as the whole image."""


def check_image(content: bytes, max_pixels: int) -> int:
    """Check an encoded image and return its number of pixels.

    The format is recognized by the content, not by the media type that the client states.

    >>> from everypose.drawing import encode
    >>> import numpy as np
    >>> check_image(encode(np.zeros((3, 4, 3), np.uint8), ".png"), max_pixels=100)
    12

    Args:
        content: the encoded image.
        max_pixels: largest number of pixels that is accepted.

    Raises:
        UnsupportedMediaError: if it is no JPEG, PNG, WebP, BMP or TIFF.
        UnprocessableError: if it is empty, its header is damaged, or it takes too long to decode.
        TooLargeError: if it has more pixels than that.
    """
    if not content:
        raise UnprocessableError("the image is empty (0 bytes)")
    try:
        header = parse_header(content, "the image")
    except EveryposeError as error:
        raise UnprocessableError(str(error)) from error
    if header is None:
        raise UnsupportedMediaError(f"the image is not a {KINDS}")
    if header.format == "JPEG" and content.count(b"\xff\xda") > MOST_SCANS:
        raise UnprocessableError(f"the JPEG has more than {MOST_SCANS} scans")
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise TooLargeError(
            f"the image has {header.width} x {header.height} = {pixels:,} pixels; at most {max_pixels:,} are accepted"
        )
    return pixels
