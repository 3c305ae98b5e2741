"""Image files to arrays, with one clear line for every file that is not a complete image."""

import io
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Image
from everypose.core.process_setup import silence_opencv
from everypose.data.image_header import (
    ORIENTATION_TAG,
    SIGNATURE_BYTES,
    ImageHeader,
    image_format,
    parse_header,
    parse_header_of,
    tiff_tags,
)
from everypose.errors import EveryposeError

MOST_PIXELS = (2**31 - 1) // 3
"""The most pixels of an image: OpenCV addresses the bytes of an RGB image by 32-bit numbers."""
_STRIP_PIXELS = 1 << 20
_LARGE_PIXELS = 30_000_000
_READ_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
_SAMPLE_DEPTHS = (8, 10, 12, 14)
"""Depths, in bits, that cameras and microscopes store in 16-bit files."""
# In JPEG scan data 0xFF is followed by 0x00 (a literal 0xFF) or by a restart marker; anything else ends the scan.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END_OF_IMAGE = 0xD9
_MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_OPTIONAL_FORMATS = ("AVIF", "GIF", "HEIC", "JPEG 2000")


def read_image(path: Path | str, reduction: int = 1) -> Image:
    """Read an image file upright and in color.

    EXIF orientation is applied (JPEG, PNG, TIFF, WebP). Gray, palette and CMYK images become RGB. 16-bit samples become
    8-bit: where all values fit 8, 10, 12 or 14 bits, that depth is the full range. Alpha is dropped.

    Args:
        path: the file.
        reduction: 1, 2 or 4, the factor by which both sides are reduced; a JPEG is then decoded in half the time.

    Returns:
        (H, W, 3) uint8 RGB; sides divided by ``reduction``.

    Raises:
        EveryposeError: if the file is missing, unreadable, empty, truncated, no image, or too large; names the file.

    >>> _ = cv2.imwrite("gray.png", np.zeros((3, 4), np.uint8))
    >>> read_image(Path("gray.png")).shape
    (3, 4, 3)
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise EveryposeError(f"cannot read the image {path}: {getattr(error, 'strerror', None) or error}") from error
    except MemoryError as error:
        raise EveryposeError(f"cannot read the image {path}: not enough memory") from error
    return _decoded(content, str(path), reduction, path)


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file; a format without a header reader is decoded.

    Size and orientation always agree with :func:`read_image`.

    Args:
        path: the image file.

    Raises:
        EveryposeError: if the file is missing, is no image, or is truncated; the message names it.

    >>> _ = cv2.imwrite("gray.png", np.zeros((3, 4), np.uint8))
    >>> read_header(Path("gray.png")).width
    4
    """
    header = parse_header_of(path)
    if header is not None:
        return header
    height, width = read_image(path).shape[:2]
    return ImageHeader(width, height)


def decode_image(content: bytes, name: str, reduction: int = 1) -> Image:
    """Decode the bytes of an image file; otherwise as :func:`read_image`.

    Args:
        content: the file's bytes.
        name: what error messages call the image.
        reduction: 1, 2 or 4.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        EveryposeError: if the bytes are not a complete image, or it is too large; names the image.

    Example:
        >>> decode_image(b"P6 1 1 255 abc", "tiny.ppm").tolist()
        [[[97, 98, 99]]]
    """
    return _decoded(content, name, reduction)


def _decoded(content: bytes, name: str, reduction: int, path: Path | None = None) -> Image:
    """Decode an image; ``path`` is its file, if it has one."""
    if not content:
        raise EveryposeError(f"the image {name} is empty (0 bytes)")
    # OpenCV silently fills the missing part of a truncated file with gray, so check for the end marker first.
    if is_truncated(content):
        raise EveryposeError(f"the image {name} is truncated: its end is missing; copy or download it again")
    header = parse_header(content, name)
    if header is not None and header.width * header.height > MOST_PIXELS:
        raise EveryposeError(
            f"{name} is too large: {header.width} x {header.height} pixels, and {MOST_PIXELS:,} are the most"
        )
    image = None if path is None or reduction > 1 else _decode_large(path, header)
    if image is None:
        image = _decode(content, name, header, reduction)
    if image.shape[0] * image.shape[1] > MOST_PIXELS:
        raise EveryposeError(f"{name} is too large: {MOST_PIXELS:,} pixels are the most")
    swap_channels(image)
    return _upright(image, header.orientation) if header is not None else image


def swap_channels(image: Image) -> None:
    """Turn RGB into BGR and back, in place, without a second copy of the image.

    Args:
        image: (H, W, 3) uint8, contiguous; changed.

    Example:
        >>> image = np.array([[[1, 2, 3]]], np.uint8)
        >>> swap_channels(image)
        >>> image.tolist()
        [[[3, 2, 1]]]
    """
    # OpenCV copies an image that it converts in place; strips bound that copy.
    rows = max(1, _STRIP_PIXELS // max(1, image.shape[1]))
    for top in range(0, len(image), rows):
        cv2.cvtColor(image[top : top + rows], cv2.COLOR_BGR2RGB, dst=image[top : top + rows])


def is_truncated(content: bytes) -> bool:
    """Whether a JPEG, PNG or WebP file ends before its end marker; False for other formats, which OpenCV checks.

    Example:
        >>> is_truncated(b"RIFF" + (1000).to_bytes(4, "little") + b"WEBP")
        True
    """
    kind = image_format(content[:SIGNATURE_BYTES])
    if kind == "JPEG":
        return not _jpeg_reaches_end(content)
    if kind == "PNG":
        return not _png_reaches_end(content)
    return kind == "WebP" and len(content) < 8 + int.from_bytes(content[4:8], "little")


def _decode_large(path: Path, header: ImageHeader | None) -> Image | None:
    """Decode a large JPEG or PNG straight into the array that is returned; None if that is not possible.

    OpenCV's ``imdecode`` holds such an image twice while it copies it to an array; ``imread`` can be given the array.
    """
    if header is None or header.format not in ("JPEG", "PNG") or header.bits > 8:
        return None
    if header.width * header.height < _LARGE_PIXELS or not str(path).isascii():
        return None
    image = np.empty((header.height, header.width, 3), np.uint8)
    silence_opencv()
    try:
        read = cv2.imread(str(path), image, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (cv2.error, MemoryError, TypeError):  # versions before 4.11 take no array
        return None
    return image if read is image else None


def _decode(content: bytes, name: str, header: ImageHeader | None, reduction: int) -> Image:
    """The stored pixels as (H, W, 3) uint8 BGR, before the orientation is applied."""
    silence_opencv()
    deep = header is None or header.bits > 8
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH if deep else _READ_REDUCED[reduction]
    try:
        buffer = np.frombuffer(_without_tiff_orientation(content, header), np.uint8)
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except (cv2.error, MemoryError) as error:
        raise EveryposeError(f"cannot decode the image {name}: it is damaged, or too large for memory") from error
    if image is None or image.ndim != 3 or image.shape[2] != 3:
        raise EveryposeError(_not_read(content, name))
    if header is not None and (deep or reduction == 1) and image.shape[:2] != (header.height, header.width):
        raise EveryposeError(
            f"{name} is damaged: its header gives {header.width} x {header.height} pixels, its data "
            f"{image.shape[1]} x {image.shape[0]}"
        )
    if not deep:
        return np.asarray(image, np.uint8)
    image = _eight_bits(image)
    if reduction > 1:
        size = -(-image.shape[1] // reduction), -(-image.shape[0] // reduction)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _not_read(content: bytes, name: str) -> str:
    """Why OpenCV gave no image, in one line."""
    kind = image_format(content[:SIGNATURE_BYTES])
    if kind in _OPTIONAL_FORMATS:
        return f"{name} is a {kind} image that cannot be read here: it is damaged, or convert it to JPEG or PNG first"
    return f"{name} is not an image that can be read: it is damaged, or none of JPEG, PNG, WebP, BMP and TIFF"


def _without_tiff_orientation(content: bytes, header: ImageHeader | None) -> bytes | bytearray:
    """The file with its TIFF orientation set to 1, because OpenCV's versions differ in applying it."""
    if header is None or header.format != "TIFF" or header.orientation == 1:
        return content
    patched = bytearray(content)
    for tag, _, place in tiff_tags(io.BytesIO(content)):
        if tag == ORIENTATION_TAG:
            upright = 1
            patched[place] = upright.to_bytes(place.stop - place.start, "little" if content[:1] == b"I" else "big")
    return patched


def _eight_bits(image: npt.NDArray[np.generic]) -> Image:
    """Samples as 8 bits; the depth of 8, 10, 12, 14 and 16 bits that holds all values is the full range."""
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype != np.uint16:  # floating-point samples, of which 0 to 1 is the usual range
        return (np.nan_to_num(image.astype(np.float32)).clip(0, 1) * 255).round().astype(np.uint8)
    needed = int(image.max()).bit_length()
    depth = next((bits for bits in _SAMPLE_DEPTHS if needed <= bits), 16)
    return np.right_shift(image.astype(np.uint16, copy=False), depth - 8).astype(np.uint8)


def _upright(image: Image, orientation: int) -> Image:
    """The image with its EXIF orientation applied (Exif 2.32, tag 0x0112)."""
    if orientation >= 5:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)


def _jpeg_reaches_end(content: bytes) -> bool:
    """Walk the segments to the end marker, past those inside an EXIF thumbnail; what follows it does not matter."""
    position = 2
    while match := _NEXT_MARKER.search(content, position):
        marker = content[match.start() + 1]
        if marker == _END_OF_IMAGE:
            return True
        position = match.end()
        if marker not in _MARKERS_WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2], "big")
    return False


def _png_reaches_end(content: bytes) -> bool:
    """Walk the chunks (length, type, data, checksum) to IEND."""
    position = 8
    while position + 12 <= len(content):
        if content[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    return False
