"""Image sizes and orientation from the first bytes of a file, without decoding the picture."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2

from everypose.errors import EveryposeError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MOST_SEGMENTS = 10_000
"""Segments and fill bytes before a JPEG's frame header; a file with more is refused, since reading it takes long."""
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


def parse_header(content: bytes, name: str) -> ImageHeader | None:
    """Read the header of an image in memory, without decoding: JPEG, PNG, WebP, BMP or TIFF; None for other kinds.

    Args:
        content: the whole file.
        name: what errors call it.

    Raises:
        EveryposeError: when the header is damaged.

    >>> parse_header(b"not an image", "note.txt") is None
    True
    """
    for starts, read in _READERS:
        if starts(content):
            try:
                return read(content, name)
            except (struct.error, IndexError) as error:
                raise EveryposeError(f"{name} ends in the middle of its header") from error
    return None


def _webp(content: bytes, name: str) -> ImageHeader:
    """Sizes from the first chunk, which is lossy (VP8), lossless (VP8L) or extended (VP8X)."""
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise EveryposeError(f"{name} is not a readable WebP: its header is damaged")
    return _checked(ImageHeader(width, height), name)


def _bmp(content: bytes, name: str) -> ImageHeader:
    """Sizes from the information header; a negative height means rows from the top."""
    (header_size,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", content, 18)
    return _checked(ImageHeader(width, abs(height)), name)


def _tiff(content: bytes, name: str) -> ImageHeader:
    """Sizes from the first directory (tags 256 and 257)."""
    order = "<" if content[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, first)
    sides = {256: 0, 257: 0}
    for entry in range(entries):
        tag, kind = struct.unpack_from(order + "HH", content, first + 2 + 12 * entry)
        if tag in sides:
            (sides[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), content, first + 10 + 12 * entry)
    return _checked(ImageHeader(sides[256], sides[257]), name)


def _png(file: BinaryIO, path: Path | str) -> ImageHeader:
    """Sizes from IHDR; the last chunk must be there."""
    file.seek(16)
    width, height = struct.unpack(">II", file.read(8))
    size = file.seek(0, 2)
    file.seek(max(0, size - 4096))
    if b"IEND" not in file.read():
        raise EveryposeError(f"{path} is cut short: the PNG has no end")
    return _checked(ImageHeader(width, height), path)


def _jpeg(file: BinaryIO, path: Path | str) -> ImageHeader:
    """Walk the segments up to the start of frame; EXIF, where there is one, comes before it."""
    orientation = 1
    file.seek(2)
    for _ in range(MOST_SEGMENTS):
        if file.read(1) != b"\xff":
            raise EveryposeError(f"{path} is not a readable JPEG: its header is damaged")
        marker = file.read(1)[0]
        if marker == 0xFF:  # a fill byte: the marker is yet to come
            file.seek(-1, 1)
            continue
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
    raise EveryposeError(f"{path} is not a readable JPEG: its header does not end")


def _require_end(file: BinaryIO, path: Path | str) -> None:
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


def _checked(header: ImageHeader, path: Path | str) -> ImageHeader:
    if header.width < 1 or header.height < 1:
        raise EveryposeError(f"{path} says that it is {header.width} × {header.height} pixels")
    return header


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, str], ImageHeader]], ...] = (
    (lambda content: content.startswith(b"\xff\xd8"), lambda content, name: _jpeg(BytesIO(content), name)),
    (lambda content: content.startswith(b"\x89PNG\r\n\x1a\n"), lambda content, name: _png(BytesIO(content), name)),
    (lambda content: content.startswith(b"RIFF") and content[8:12] == b"WEBP", _webp),
    (lambda content: content.startswith(b"BM"), _bmp),
    (lambda content: content.startswith((b"II*\0", b"MM\0*")), _tiff),
)
