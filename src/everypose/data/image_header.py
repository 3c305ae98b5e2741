"""Image format, size, orientation and bit depth from a file's header, without decoding its pixels.

Sources: JPEG ITU-T T.81 annex B, PNG third edition (W3C 2025), TIFF 6.0 and Exif 2.32 (tag 0x0112), WebP container
specification, Windows BITMAPINFOHEADER.
"""

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from everypose.errors import EveryposeError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
    | {".pnm", ".avif", ".gif", ".jp2", ".j2k", ".heic", ".heif"}
)
"""The suffixes, in lower case, of the files that a search of a folder takes for images."""
SIGNATURE_BYTES = 32
_SIGNATURES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
    ("BMP", re.compile(rb"BM")),
    ("PNM", re.compile(rb"P[1-7]\s")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("AVIF", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("HEIC", re.compile(rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
)
MOST_SEGMENTS = 10_000
"""JPEG segments, fill bytes and WebP chunks that a header may have; one with more is refused, since it takes long."""
MOST_CHUNKS = 1_000_000
"""The most chunks of a PNG: encoders cut the pixels of a large image into chunks of 8,192 bytes."""
_JPEG_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ORIENTATION_TAG = 0x0112
_TAIL = 4096


@dataclass(frozen=True)
class ImageHeader:
    """What a file's header says about its image.

    Attributes:
        width: pixels of a stored row, before the orientation is applied.
        height: number of stored rows, before the orientation is applied.
        orientation: EXIF orientation, 1 (upright) to 8.
        format: JPEG, PNG, WebP and so on.
        bits: bits per sample; 8 where the header does not say it.

    Example:
        >>> ImageHeader(640, 480, orientation=6).upright
        (480, 640)
    """

    width: int
    height: int
    orientation: int = 1
    format: str = ""
    bits: int = 8

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height in pixels after the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def parse_header_of(path: Path) -> ImageHeader | None:
    """Read the header of an image file; None for a format without a header reader.

    Args:
        path: the image file.

    Raises:
        EveryposeError: if the file is missing, is no image, or is truncated; the message names it.

    >>> parse_header_of(Path("missing.jpg"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: missing.jpg does not exist
    """
    try:
        with Path(path).open("rb") as file:
            return _parse_header(file, str(path))
    except FileNotFoundError as error:
        raise EveryposeError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise EveryposeError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def image_format(start: bytes) -> str:
    """Name the image format of a file's first bytes; empty when it is none of those known.

    Example:
        >>> image_format(b"GIF89a")
        'GIF'
    """
    return next((name for name, signature in _SIGNATURES if signature.match(start)), "")


def _parse_header(file: BinaryIO, name: str) -> ImageHeader | None:
    """As :func:`parse_header`, of an open, seekable file."""
    file.seek(0)
    kind = image_format(file.read(SIGNATURE_BYTES))
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        width, height, orientation, bits = reader(file)
    except _DamagedError as error:
        raise EveryposeError(f"{name} {error}") from error
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise EveryposeError(f"{name} is truncated or damaged: its {kind} header ends early") from error
    if width < 1 or height < 1:
        raise EveryposeError(f"{name} is damaged: its header gives a size of {width} x {height} pixels")
    return ImageHeader(width, height, orientation, kind, bits)


def parse_header(content: bytes, name: str) -> ImageHeader | None:
    """Read the header of an image file in memory; None for formats that only decoding can measure.

    Args:
        content: the whole file.
        name: what error messages call it.

    Returns:
        The header, or None.

    Raises:
        EveryposeError: if the header is damaged or truncated; the message names the image.

    Example:
        >>> parse_header(b"not an image", "note.txt") is None
        True
    """
    return _parse_header(io.BytesIO(content), name)


class _DamagedError(Exception):
    """A header that cannot be used; the message follows the file's name."""


_Fields = tuple[int, int, int, int]
"""Width, height, orientation, bits."""


def _jpeg(file: BinaryIO) -> _Fields:
    """Walk the segments to the start of frame; an EXIF segment comes before it."""
    orientation = 1
    file.seek(2)
    for _ in range(MOST_SEGMENTS):
        marker = _next_jpeg_marker(file)
        if marker in _JPEG_MARKERS_WITHOUT_LENGTH:
            continue
        if marker in (0xD9, 0xDA):
            raise _DamagedError("is damaged: the JPEG has no frame header")
        (length,) = struct.unpack(">H", file.read(2))
        if length < 2:
            raise _DamagedError("is damaged: a JPEG segment has an impossible length")
        if marker in _JPEG_START_OF_FRAME:
            bits, height, width = struct.unpack(">BHH", file.read(5))
            _require_jpeg_end(file)
            return width, height, orientation, bits
        if marker == 0xE1:
            segment = file.read(length - 2)
            if segment[:6] == b"Exif\0\0":
                orientation = exif_orientation(segment[6:])
        else:
            file.seek(length - 2, 1)
    raise _DamagedError("is damaged: its JPEG header has no end")


def _next_jpeg_marker(file: BinaryIO) -> int:
    """The next marker byte; a few bytes between segments are skipped, as libjpeg does."""
    after_fill = False
    for _ in range(MOST_SEGMENTS):
        byte = file.read(1)[0]
        if after_fill and byte not in (0, 0xFF):
            return byte
        after_fill = byte == 0xFF
    raise _DamagedError("is damaged: its JPEG header has no end")


def _require_jpeg_end(file: BinaryIO) -> None:
    """Require an end marker after the frame header; padding may follow it."""
    frame = file.tell()
    size = file.seek(0, 2)
    file.seek(max(frame, size - _TAIL))
    if b"\xff\xd9" in file.read():
        return
    file.seek(frame)
    if b"\xff\xd9" not in file.read():
        raise _DamagedError("is truncated: the JPEG has no end")


def _png(file: BinaryIO) -> _Fields:
    """Walk the chunks to IEND: size and depth from IHDR, orientation from eXIf."""
    file.seek(16)
    width, height, bits = struct.unpack(">IIB", file.read(9))
    orientation = 1
    position = 8
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            raise _DamagedError("is truncated: the PNG has no end")
        length, kind = struct.unpack(">I4s", start)
        if kind == b"eXIf":
            orientation = exif_orientation(file.read(length))
        if kind == b"IEND":
            return width, height, orientation, bits
        position += 12 + length
    raise _DamagedError("is damaged: the PNG has no end")


def _webp(file: BinaryIO) -> _Fields:
    """Walk the RIFF chunks: size from VP8X, VP8L or VP8, orientation from EXIF."""
    size: tuple[int, int] | None = None
    orientation = 1
    position = 12
    for _ in range(MOST_SEGMENTS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            break
        kind, length = struct.unpack("<4sI", start)
        if kind == b"EXIF":
            orientation = exif_orientation(file.read(length).removeprefix(b"Exif\0\0"))
        elif size is None and kind in (b"VP8X", b"VP8L", b"VP8 "):
            size = _webp_size(kind, file.read(10))
        position += 8 + length + length % 2
    if size is None:
        raise _DamagedError("is damaged: the WebP file holds no image")
    return *size, orientation, 8


def _webp_size(kind: bytes, data: bytes) -> tuple[int, int]:
    """Width and height from the first ten bytes of an image chunk."""
    if kind == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if kind == b"VP8L":
        (packed,) = struct.unpack("<xI", data[:5])
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _tiff(file: BinaryIO) -> _Fields:
    """Size, orientation and depth from the first directory."""
    tags = {tag: value for tag, value, _ in tiff_tags(file)}
    if 256 not in tags or 257 not in tags:
        raise _DamagedError("is damaged: the TIFF directory gives no size")
    orientation = tags.get(ORIENTATION_TAG, 1)
    return tags[256], tags[257], orientation if 1 <= orientation <= 8 else 1, tags.get(258, 1)


def tiff_tags(file: BinaryIO) -> list[tuple[int, int, slice]]:
    """The whole-number tags of the first directory of TIFF or EXIF data.

    Returns:
        Tag, first value, and the bytes of the file that hold that value.

    Raises:
        ValueError: if the data are no TIFF.
        struct.error: the data end early.

    >>> tiff_tags(io.BytesIO(b"no TIFF at all"))
    Traceback (most recent call last):
        ...
    ValueError: not a TIFF
    """
    file.seek(0)
    start = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        raise ValueError("not a TIFF")
    big = struct.unpack(f"{order}H", start[2:4])[0] == 43
    offset, count, entry, value_at = ("Q", "Q", 20, 12) if big else ("I", "H", 12, 8)
    file.seek(8 if big else 4)
    (directory,) = struct.unpack(order + offset, file.read(8 if big else 4))
    file.seek(directory)
    width = 8 if big else 2
    (entries,) = struct.unpack(order + count, file.read(width))
    found = []
    for index in range(min(entries, 4096)):
        position = directory + width + index * entry
        file.seek(position)
        data = file.read(entry)
        tag, kind, values = struct.unpack(f"{order}HH{offset}", data[:value_at])
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if letter is None:
            continue
        size = struct.calcsize(letter)
        place = position + value_at
        if size * values > entry - value_at:
            (place,) = struct.unpack(order + offset, data[value_at:])
        file.seek(place)
        (value,) = struct.unpack(order + letter, file.read(size))
        found.append((tag, value, slice(place, place + size)))
    return found


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, of EXIF data; 1 when they are damaged or do not say it.

    Example:
        >>> exif_orientation(b"no EXIF")
        1
    """
    try:
        tags = {tag: value for tag, value, _ in tiff_tags(io.BytesIO(tiff))}
    except (ValueError, struct.error, OverflowError):
        return 1
    orientation = tags.get(ORIENTATION_TAG, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _bmp(file: BinaryIO) -> _Fields:
    """Size from BITMAPINFOHEADER, whose height is negative for rows from the top, or from BITMAPCOREHEADER."""
    file.seek(14)
    (length,) = struct.unpack("<I", file.read(4))
    if length == 12:
        width, height = struct.unpack("<HH", file.read(4))
        return width, height, 1, 8
    width, height = struct.unpack("<ii", file.read(8))
    return width, abs(height), 1, 8


_READERS: dict[str, Callable[[BinaryIO], _Fields]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
}
