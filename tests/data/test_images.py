import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data import images
from everypose.data.images import decode_image, is_truncated, read_image
from everypose.errors import EveryposeError
from image_files import CMYK_JPEG


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    """Smooth, colored, and different at every corner. RGB."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    return np.dstack([red, green, (red + green) / 4]).round().astype(np.uint8)


def encoded(image: np.ndarray, suffix: str, *parameters: int) -> bytes:
    """``image`` in OpenCV's channel order."""
    done, content = cv2.imencode(suffix, image, list(parameters))
    assert done
    return content.tobytes()


def with_exif(jpeg: bytes, orientation: int, thumbnail: bytes = b"") -> bytes:
    """An APP1 segment with the orientation (and anything else after the directory) behind the start of the image."""
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, orientation) + struct.pack("<I", 0) + thumbnail
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


BGR = photo()[:, :, ::-1]
GRAY = photo()[:, :, 0]
WIDE = 257  # 8-bit values spread over 16 bits


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(BGR, ".png"), photo()),
        (encoded(BGR, ".bmp"), photo()),
        (encoded(BGR, ".tiff"), photo()),
        (encoded(BGR, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), photo()),  # above 100: lossless
        (encoded(GRAY, ".png"), np.dstack([GRAY] * 3)),
        (encoded(np.dstack([BGR, GRAY]), ".png"), photo()),  # alpha goes, colors stay
        (encoded(BGR.astype(np.uint16) * WIDE, ".png"), photo()),
        (encoded(BGR.astype(np.uint16) * WIDE, ".tiff"), photo()),
        (encoded(GRAY.astype(np.uint16) * WIDE, ".png"), np.dstack([GRAY] * 3)),
        (encoded(np.dstack([BGR, GRAY]).astype(np.uint16) * WIDE, ".png"), photo()),
        (encoded(photo(1, 1)[:, :, ::-1], ".png"), photo(1, 1)),
    ],
    ids=["png", "bmp", "tiff", "webp", "gray", "rgba", "16-bit", "16-bit tiff", "16-bit gray", "16-bit rgba", "1 x 1"],
)
def test_lossless_kinds_read_exactly(tmp_path: Path, content: bytes, expected: np.ndarray) -> None:
    (tmp_path / "image").write_bytes(content)
    image = read_image(tmp_path / "image")
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("parameters", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
def test_jpeg(parameters: tuple[int, ...]) -> None:
    content = encoded(BGR, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 98, *parameters)
    assert np.abs(decode_image(content, "x").astype(int) - photo()).max() <= 12
    assert decode_image(content + b"bytes after the end", "x").shape == (40, 60, 3)


def test_gray_jpeg_has_three_channels() -> None:
    assert decode_image(encoded(GRAY, ".jpg"), "x").shape == (40, 60, 3)


def test_cmyk_jpeg_becomes_rgb() -> None:
    assert np.abs(decode_image(CMYK_JPEG, "x").astype(int) - (204, 82, 0)).max() <= 3


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: stored[::-1, ::-1]),
        (4, lambda stored: stored[::-1]),
        (5, lambda stored: stored.transpose(1, 0, 2)),
        (6, lambda stored: np.rot90(stored, -1)),
        (7, lambda stored: stored[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda stored: np.rot90(stored, 1)),
    ],
)
def test_exif_orientation_is_applied(orientation: int, upright) -> None:
    content = encoded(BGR, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    expected = upright(decode_image(content, "stored"))
    np.testing.assert_array_equal(decode_image(with_exif(content, orientation), "x"), expected)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_a_reduced_image_is_the_mean_of_squares(reduction: int, orientation: int) -> None:
    jpeg = with_exif(encoded(BGR, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 98), orientation)
    for content in (jpeg, encoded(BGR, ".png")):
        whole = decode_image(content, "x")
        height, width = (side // reduction for side in whole.shape[:2])
        expected = whole.reshape(height, reduction, width, reduction, 3).mean(axis=(1, 3))
        reduced = decode_image(content, "x", reduction)
        assert reduced.dtype == np.uint8
        assert np.abs(reduced - expected).max() <= 6


def test_very_large_image() -> None:
    y_stripes = np.zeros((9000, 12000), np.uint8)
    y_stripes[4500:] = 200
    image = decode_image(encoded(y_stripes, ".png", cv2.IMWRITE_PNG_COMPRESSION, 1), "large.png")
    assert image.shape == (9000, 12000, 3)
    assert image[4499].max() == 0
    assert image[4500].min() == 200


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    rng = np.random.default_rng(0)
    content = encoded(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), suffix)
    path = tmp_path / f"half{suffix}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(EveryposeError, match="half") as error:
        read_image(path)
    assert "\n" not in str(error.value)


def test_thumbnail_does_not_hide_truncation() -> None:
    whole = encoded(BGR, ".jpg")
    content = with_exif(whole, 1, thumbnail=encoded(BGR[:8, :8], ".jpg"))
    assert not is_truncated(content)
    assert is_truncated(content[:-2])


@pytest.mark.parametrize(
    "content", [b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"\xff" * 9]
)
def test_stumps_never_read_as_images(content: bytes) -> None:
    with pytest.raises(EveryposeError):
        decode_image(content, "stump")


def test_files_that_are_no_images(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("This is a letter, not a picture.\n" * 50)
    for name, reason in [("empty.jpg", "empty"), ("text.jpg", "not an image"), ("none.jpg", "No such file")]:
        with pytest.raises(EveryposeError, match=f"{name}.*{reason}"):
            read_image(tmp_path / name)
    with pytest.raises(EveryposeError, match="cannot read the image"):
        read_image(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_impossible_size_is_one_line() -> None:
    """A PNG header that promises 200,000 x 200,000 pixels."""
    content = bytearray(encoded(BGR, ".png"))
    content[16:24] = struct.pack(">II", 200_000, 200_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    with pytest.raises(EveryposeError, match=r"liar\.png") as error:
        decode_image(bytes(content), "liar.png")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "ümlaut.jpg"])
def test_large_images_are_decoded_into_one_array_with_the_same_pixels(tmp_path, monkeypatch, name):
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    path = tmp_path / name
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    expected = read_image(path)
    monkeypatch.setattr(images, "_LARGE_PIXELS", 1)
    monkeypatch.setattr(images, "_STRIP_PIXELS", 200)
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_large_image_that_disagrees_with_its_header_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_LARGE_PIXELS", 1)
    path = tmp_path / "photo.jpg"
    content = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(EveryposeError, match=r"photo\.jpg is truncated"):
        read_image(path)
