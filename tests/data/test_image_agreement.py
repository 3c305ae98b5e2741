"""The header reader and the decoder agree on size and orientation for every format; bad files are one line."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.image_header import parse_header
from everypose.data.images import decode_image, read_header, read_image
from everypose.errors import EveryposeError

HEIGHT, WIDTH = 40, 60
_ACROSS = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1))
_DOWN = np.tile(np.linspace(0, 255, HEIGHT)[:, None], (1, WIDTH))
RGB = np.dstack([_ACROSS, _DOWN, np.full((HEIGHT, WIDTH), 30.0)]).astype(np.uint8)


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(f"{order}HH", orientation, 0)
    return mark + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, 3, 1) + value + struct.pack(f"{order}I", 0)


def encoded(suffix: str, image: np.ndarray = RGB, *parameters: int) -> bytes:
    bgr = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(suffix, np.ascontiguousarray(bgr), list(parameters))[1].tobytes()


def jpeg(orientation: int, order: str) -> bytes:
    content = encoded(".jpg", RGB, cv2.IMWRITE_JPEG_QUALITY, 98)
    segment = b"Exif\0\0" + exif(orientation, order)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def png(orientation: int, order: str) -> bytes:
    content, data = encoded(".png"), exif(orientation, order)
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    return content[:33] + chunk + content[33:]


def webp(orientation: int, order: str) -> bytes:
    data = exif(orientation, order)
    canvas = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + bytes([8, 0, 0, 0]) + canvas
    body += encoded(".webp", RGB, cv2.IMWRITE_WEBP_QUALITY, 101)[12:]
    body += b"EXIF" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff(orientation: int, order: str, bits: int = 8, image: np.ndarray = RGB, orientation_type: int = 3) -> bytes:
    """An uncompressed RGB TIFF; types of TIFF: 3 for 16 bits, 4 for 32."""
    height, width = image.shape[:2]
    data = image.astype(f"{order}u{bits // 8}").tobytes()
    directory = 8 + len(data)
    count = 10

    def entry(tag: int, kind: int, number: int, value: int) -> bytes:
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 and number == 1 else struct.pack(f"{order}I", value)
        return struct.pack(f"{order}HHI", tag, kind, number) + packed

    entries = [
        entry(256, 3, 1, width), entry(257, 3, 1, height), entry(258, 3, 3, directory + 6 + 12 * count),
        entry(259, 3, 1, 1), entry(262, 3, 1, 2), entry(273, 4, 1, 8), entry(274, orientation_type, 1, orientation),
        entry(277, 3, 1, 3), entry(278, 3, 1, height), entry(279, 4, 1, len(data)),
    ]  # fmt: skip
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    end = struct.pack(f"{order}IHHH", 0, bits, bits, bits)
    return start + data + struct.pack(f"{order}H", count) + b"".join(entries) + end


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("make", [jpeg, png, webp, tiff])
def test_orientation_is_applied_alike_in_all_formats(tmp_path: Path, make, orientation: int, order: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(make(orientation, order))
    image = read_image(path)
    expected = UPRIGHT[orientation](RGB)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (12 if make is jpeg else 0)
    assert read_header(path).upright == image.shape[1::-1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_of_32_bits_in_a_tiff(tmp_path: Path, order: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff(6, order, orientation_type=4))
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, -1))
    assert read_header(path).upright == (HEIGHT, WIDTH)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".gif", ".avif", ".jp2"])
def test_header_and_decoder_agree_in_every_format(tmp_path: Path, suffix: str) -> None:
    if not cv2.haveImageWriter(suffix):
        pytest.skip(f"this OpenCV does not write {suffix}")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix))
    assert read_header(path).upright == read_image(path).shape[1::-1] == (WIDTH, HEIGHT)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_a_format_that_cannot_be_read_is_named_by_every_reader(tmp_path: Path, brand: bytes) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"mif1" + bytes(200))
    for read in (read_header, read_image):
        with pytest.raises(EveryposeError, match=r"photo\.heic is an? (HEIC|AVIF) image that cannot be read here"):
            read(path)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("reduction", [1, 2])
def test_deep_samples_fill_the_range(bits: int, reduction: int) -> None:
    deep = (RGB.astype(np.uint16) << (bits - 8)) | (RGB >> (16 - bits) if bits < 16 else RGB)
    for content in (encoded(".png", deep), tiff(1, "<", 16, deep), encoded(".ppm", deep)):
        image = decode_image(content, "deep", reduction)
        expected = RGB if reduction == 1 else cv2.resize(RGB, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - expected).max() <= 1


def test_an_image_above_the_limit_of_opencv_is_refused_from_its_header() -> None:
    """26,800 x 26,800 pixels in a hundred thousand bytes."""
    side = 26_800

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compress(bytes(side * (1 + side // 8 + 1)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    with pytest.raises(EveryposeError, match=r"big\.png is too large: 26800 x 26800 pixels"):
        decode_image(content, "big.png")


@pytest.mark.parametrize("length", [0, 1])
def test_a_jpeg_segment_of_an_impossible_length(tmp_path: Path, length: int) -> None:
    content = encoded(".jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", length) + content[2:])
    for read in (read_header, read_image):
        with pytest.raises(EveryposeError, match=r"a\.jpg"):
            read(path)


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"\xff\xfe.png", "löwe.jpg".encode(), b"a" * 250 + b".jpg"])
def test_names_that_are_not_utf8(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / Path(name.decode(errors="surrogateescape"))
    path.write_bytes(b"not an image")
    for read in (read_header, read_image):
        with pytest.raises(EveryposeError, match="is not an image that can be read"):
            read(path)
    path.write_bytes(encoded(".jpg"))
    assert read_header(path).upright == (WIDTH, HEIGHT)
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("make", [jpeg, png, webp, tiff])
def test_what_is_decoded_has_a_header_that_agrees(make) -> None:
    rng = np.random.default_rng(0)
    whole = make(6, "<")
    read = 0
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            content[place] = rng.integers(0, 256)
        try:
            image = decode_image(bytes(content), "x")
        except EveryposeError:
            continue
        header = parse_header(bytes(content), "x")
        assert header is not None
        assert header.upright == image.shape[1::-1]
        read += 1
    assert read or make is png  # its checksums notice nearly everything
