"""Looking twice: the tiles around coarse peaks, and what is found in them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from everypose.methods.single_stage.coarse_search import TILE, decode_tiles, tiles_around
from everypose.methods.single_stage.decoding import decode
from everypose.methods.single_stage.peaks import smooth

SIZE = (14, 19)


def gaussian(y: float, x: float, size: tuple[int, int] = SIZE) -> Tensor:
    """A keypoint's heatmap, as the networks are trained to give it: 2 pixels wide."""
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    return torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)


def look_twice(maps: Tensor) -> Tensor:
    """(B, P, h, w) to (B, P, 3)."""
    pixels, corners = tiles_around(maps[..., ::2, ::2], (maps.shape[2], maps.shape[3]))
    tiles = maps.flatten(2).gather(2, pixels).unflatten(2, (TILE, TILE))
    return decode_tiles(smooth(tiles, 3), corners, "parabola")


@given(st.floats(0, SIZE[0] - 1), st.floats(0, SIZE[1] - 1))
def test_a_peak_is_found_as_on_the_whole_map(y: float, x: float) -> None:
    maps = gaussian(y, x)[None, None]
    torch.testing.assert_close(look_twice(maps), decode(smooth(maps, 3), "parabola"), atol=1e-3, rtol=0)


def test_the_highest_of_several_peaks_is_looked_at() -> None:
    low, high = 0.6 * gaussian(3, 4), gaussian(9.2, 14.7)
    found = look_twice(torch.stack([low + high, high + low])[None])
    assert found[0, 0, :2].tolist() == pytest.approx([4 * 14.7 + 2, 4 * 9.2 + 2], abs=0.3)
    torch.testing.assert_close(found[:, :1], found[:, 1:])


def test_tiles_stay_inside_and_hold_their_peak() -> None:
    coarse = torch.zeros(1, 4, 7, 10)
    peaks = [(0, 0), (6, 9), (0, 5), (3, 4)]
    for number, (y, x) in enumerate(peaks):
        coarse[0, number, y, x] = 1
    pixels, corners = tiles_around(coarse, SIZE)
    assert corners[0].tolist() == [[0, 0], [SIZE[1] - TILE, SIZE[0] - TILE], [7, 0], [5, 3]]
    for number, (y, x) in enumerate(peaks):
        rows, columns = pixels[0, number] // SIZE[1], pixels[0, number] % SIZE[1]
        assert len(set(pixels[0, number].tolist())) == TILE**2
        assert rows.max() - rows.min() == columns.max() - columns.min() == TILE - 1
        assert 2 * y * SIZE[1] + 2 * x in pixels[0, number]
