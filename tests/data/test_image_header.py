"""Headers say the size and orientation that decoding gives; cut files are one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.planted_flaws import with_exif
from everypose.data.images import read_header
from everypose.errors import EveryposeError


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_header_tells_what_decoding_does(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix, np.zeros((33, 57, 3), np.uint8))[1].tobytes())
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (57, 33, 1)


def test_header_of_progressive_and_big_endian_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    encoded = cv2.imencode(".jpg", np.zeros((33, 57, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path.write_bytes(with_exif(encoded, 6, ">"))
    assert read_header(path).upright == (33, 57)


@pytest.mark.parametrize("keep", [0, 1, 3, 20, 100, 160, 300])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_files_are_one_line(tmp_path: Path, suffix: str, keep: int) -> None:
    rng = np.random.default_rng(0)
    content = cv2.imencode(suffix, rng.integers(0, 255, (33, 57, 3), np.uint8))[1].tobytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[:keep])
    with pytest.raises(EveryposeError) as error:
        read_header(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
