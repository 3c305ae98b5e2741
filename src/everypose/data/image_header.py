"""Image sizes and orientation from the first bytes of a file, without decoding the picture."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2

from everypose.errors import EveryposeError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its picture.

    Attributes:
        width: pixels of a stored row, before the orientation is applied.
        height: number of stored rows, before the orientation is applied.
        orientation: EXIF orientation, 1 (upright) to 8.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once the orientation is applied: what viewers and everypose show."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file; JPEG and PNG without decoding, other kinds with OpenCV.

    Raises:
        EveryposeError: when the file is missing, is no image, or ends before its picture does.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
            if start[:2] == b"\xff\xd8":
                return _jpeg(file, path)
            if start == b"\x89PNG\r\n\x1a\n":
                return _png(file, path)
    except FileNotFoundError as error:
        raise EveryposeError(f"{path} does not exist") from error
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except (struct.error, IndexError) as error:
        raise EveryposeError(f"{path} ends in the middle of its header") from error
    return _decoded(path)


def _png(file: BinaryIO, path: Path) -> ImageHeader:
    """Sizes from IHDR; the last chunk must be there."""
    file.seek(16)
    width, height = struct.unpack(">II", file.read(8))
    size = file.seek(0, 2)
    file.seek(max(0, size - 4096))
    if b"IEND" not in file.read():
        raise EveryposeError(f"{path} is cut short: the PNG has no end")
    return _checked(ImageHeader(width, height), path)


def _jpeg(file: BinaryIO, path: Path) -> ImageHeader:
    """Walk the segments up to the start of frame; EXIF, where there is one, comes before it."""
    orientation = 1
    file.seek(2)
    while True:
        if file.read(1) != b"\xff":
            raise EveryposeError(f"{path} is not a readable JPEG: its header is damaged")
        marker = file.read(1)[0]
        while marker == 0xFF:
            marker = file.read(1)[0]
        if marker in _NO_LENGTH:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">xHH", file.read(5))
            _require_end(file, path)
            return _checked(ImageHeader(width, height, orientation), path)
        if marker in (0xD9, 0xDA):
            raise EveryposeError(f"{path} is not a readable JPEG: it has no frame header")
        if marker == 0xE1:
            segment = file.read(length - 2)
            if segment[:6] == b"Exif\0\0":
                orientation = _exif_orientation(segment[6:])
        else:
            file.seek(length - 2, 1)


def _require_end(file: BinaryIO, path: Path) -> None:
    """A whole JPEG has an end marker after its frame header (padding may follow it)."""
    frame = file.tell()
    size = file.seek(0, 2)
    file.seek(max(frame, size - 4096))
    if b"\xff\xd9" in file.read():
        return
    file.seek(frame)
    if b"\xff\xd9" not in file.read():
        raise EveryposeError(f"{path} is cut short: the JPEG has no end")


def _exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory; 1 where EXIF is absent or damaged (as viewers do)."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, first)
        for entry in range(entries):
            tag, _kind, _count, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


def _decoded(path: Path) -> ImageHeader:
    """Kinds without a header reader here: decode (upright, as OpenCV gives it)."""
    image = None
    if Path(path).suffix.lower() in SUFFIXES:
        try:
            image = cv2.imread(str(path))
        except cv2.error:
            image = None
    if image is None:
        raise EveryposeError(f"{path} is not an image that can be read")
    return ImageHeader(image.shape[1], image.shape[0])


def _checked(header: ImageHeader, path: Path) -> ImageHeader:
    if header.width < 1 or header.height < 1:
        raise EveryposeError(f"{path} says that it is {header.width} × {header.height} pixels")
    return header
