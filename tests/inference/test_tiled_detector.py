from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import UsageError
from everypose.inference.box_sources import DetectionsFile
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.tiled_detector import TiledDetector, tile_corners


def squares(photo):
    """White squares that are at least a fifth of the image high, each as a box with its own red as the score."""
    rows, columns = np.nonzero(photo.image[..., 0])
    if not len(rows) or np.ptp(rows) + 1 < photo.image.shape[0] / 5:
        return Boxes(np.zeros((0, 4)), np.zeros(0))
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return Boxes(np.array([box], np.float64), np.array([photo.image.max() / 255]))


def square(x, y, side, size=(400, 200)):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[y : y + side, x : x + side] = 204
    return Photo(image)


def test_a_small_square_is_found_in_its_tile():
    photo = square(330, 30, 30)
    assert len(squares(photo)) == 0
    found = TiledDetector(squares, 4)(photo)
    np.testing.assert_array_equal(found.boxes, [[330, 30, 360, 60]])
    np.testing.assert_allclose(found.scores, [0.8])


def test_a_large_square_is_found_once():
    found = TiledDetector(squares, 2)(square(20, 10, 100))
    np.testing.assert_array_equal(found.boxes, [[20, 10, 120, 110]])


def test_what_a_tile_cuts_off_is_left_to_the_whole_image():
    """The square reaches over the inner border of the first tile, and half of it lies in the second."""
    found = TiledDetector(squares, 2)(square(190, 10, 100))
    np.testing.assert_array_equal(found.boxes, [[190, 10, 290, 110]])


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(2, 8))
def test_tiles_cover_the_image(width, height, tiles):
    corners = np.array(tile_corners(width, height, tiles))
    assert corners[:, :2].min(axis=0).tolist() == [0, 0]
    assert corners[:, 2:].max(axis=0).tolist() == [width, height]
    assert (corners[:, 2:] > corners[:, :2]).all()
    for axis, length in ((0, width), (1, height)):
        covered = np.zeros(length, bool)
        for one in corners:
            covered[one[axis] : one[axis + 2]] = True
        assert covered.all()


def test_boxes_of_a_file_are_not_those_of_a_tile(tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    with pytest.raises(UsageError, match=r"not for the boxes of .*boxes\.json"):
        TiledDetector(DetectionsFile(tmp_path / "boxes.json"), 2)


def test_a_tile_has_no_path():
    paths = []

    def remember(photo):
        paths.append(photo.path)
        return squares(photo)

    image = Path("a.jpg")
    TiledDetector(remember, 2)(Photo(square(0, 0, 30).image, image))
    assert paths == [image, None, None]


@pytest.mark.parametrize("tiles", [1, 9])
def test_the_number_of_tiles_is_checked(tiles):
    with pytest.raises(UsageError, match=f"from 2 to 8, not {tiles}"):
        TiledDetector(squares, tiles)
