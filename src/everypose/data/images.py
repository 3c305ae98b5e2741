"""Image files to arrays, with one clear line for every file that is not a whole image."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError

# In JPEG scan data 0xFF is followed by 0x00 (a literal 0xFF) or by a restart marker; anything else ends the scan.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END_OF_IMAGE = 0xD9
_MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_READ_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


def read_image(path: Path | str, reduction: int = 1) -> npt.NDArray[np.uint8]:
    """Read an image file as it should be seen.

    EXIF orientation is applied; grey, palette and CMYK become RGB; 16 bits become 8; alpha is dropped.

    Args:
        path: the file.
        reduction: 1, 2 or 4; squares of so many pixels a side become one. A JPEG is decoded so in half the time.

    Returns:
        (H, W, 3) uint8, RGB; (H / reduction, W / reduction, 3) where that divides both.

    Raises:
        EveryposeError: one line that names the file: missing, unreadable, empty, truncated, not an image, too large.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EveryposeError(f"cannot read the image {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise EveryposeError(f"cannot read the image {path}: not enough memory") from error
    return decode_image(content, str(path), reduction)


def decode_image(content: bytes, name: str, reduction: int = 1) -> npt.NDArray[np.uint8]:
    """Decode an image file's bytes; ``name`` is what errors call it. Otherwise as :func:`read_image`."""
    if not content:
        raise EveryposeError(f"the image {name} is empty (0 bytes)")
    # OpenCV fills the missing part of a truncated file with grey and goes on, so the end is looked for first.
    if is_truncated(content):
        raise EveryposeError(f"the image {name} is truncated: its end is missing; copy or download it again")
    try:
        with _quiet_opencv():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), _READ_REDUCED[reduction])
    except (cv2.error, MemoryError) as error:
        raise EveryposeError(f"cannot decode the image {name}: it is damaged, or too large for memory") from error
    if image is None:
        raise EveryposeError(
            f"{name} is not an image that can be read: it is damaged, or none of JPEG, PNG, WebP, BMP and TIFF"
        )
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return np.asarray(image, dtype=np.uint8)


def is_truncated(content: bytes) -> bool:
    """Whether a JPEG, PNG or WebP file ends before its end marker; False for other formats, which OpenCV checks."""
    if content.startswith(b"\xff\xd8"):
        return not _jpeg_reaches_end(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return not _png_reaches_end(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return False


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV's own lines about damaged files would only double the error that is raised."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


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
