"""Decoding of heatmaps in NumPy: a literal reference, the decoder of networks in torch, and the edges."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.geometry import Size
from everypose.methods.vitpose.heatmap_decoding import blur_matrix, decode

WIDTH, HEIGHT = 12, 16
CROP = Size(4 * WIDTH, 4 * HEIGHT)


def smooth_maps(seed, count=3):
    """One Gaussian in each of (2, ``count``) maps, some with their center at a border, and a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    maps = np.zeros((2, count, HEIGHT, WIDTH))
    for at in np.ndindex(2, count):
        x, y = rng.uniform(0, WIDTH - 1), rng.uniform(0, HEIGHT - 1)
        maps[at] = rng.uniform(0.3, 1) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2**2))
    return (maps + rng.uniform(0, 1e-3, maps.shape)).astype(np.float32)


def literal_quarter(plane, x, y):
    if not (1 < x < WIDTH - 1 and 1 < y < HEIGHT - 1):
        return x * 4, y * 4
    x_move = np.sign(plane[y, x + 1] - plane[y, x - 1]) / 4
    return (x + x_move) * 4, (y + np.sign(plane[y + 1, x] - plane[y - 1, x]) / 4) * 4


def literal_udp(plane, x, y):
    """The parabola through the logarithm of the map that OpenCV smooths, with repeated borders."""
    logs = np.log(np.clip(cv2.GaussianBlur(plane.astype(np.float64), (11, 11), 0), 0.001, 50))

    def at(dx, dy):
        return logs[min(max(y + dy, 0), HEIGHT - 1), min(max(x + dx, 0), WIDTH - 1)]

    gradient = np.array([(at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2])
    epsilon = np.finfo(np.float32).eps
    xx, yy = at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)
    xy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    hessian = np.array([[xx + epsilon, xy], [xy, yy + epsilon]])
    moved = np.array([x, y]) - np.linalg.solve(hessian, gradient)
    return moved[0] * (CROP.width - 1) / (WIDTH - 1), moved[1] * (CROP.height - 1) / (HEIGHT - 1)


@pytest.mark.parametrize(("decoder", "literal"), [("quarter", literal_quarter), ("udp", literal_udp)])
@given(seed=st.integers(0, 2**32 - 1))
def test_as_the_reference(decoder, literal, seed):
    maps = smooth_maps(seed)
    found = decode(maps, decoder, CROP)
    for at in np.ndindex(maps.shape[:2]):
        y, x = (int(place) for place in np.unravel_index(maps[at].argmax(), maps[at].shape))
        assert found[at] == pytest.approx([*literal(maps[at], x, y), maps[at].max()], abs=2e-3)


@pytest.mark.parametrize("decoder", ["quarter", "udp"])
@given(seed=st.integers(0, 2**32 - 1))
def test_as_networks_in_torch(decoder, seed):
    torch = pytest.importorskip("torch")
    from everypose.methods.top_down.decoding import decode as decode_in_torch

    maps = smooth_maps(seed)
    expected = decode_in_torch(torch.from_numpy(maps), decoder, CROP).numpy()
    assert decode(maps, decoder, CROP) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("decoder", ["quarter", "udp"])
def test_a_map_without_a_positive_value_finds_nothing(decoder):
    maps = np.zeros((1, 2, HEIGHT, WIDTH), np.float32)
    maps[0, 1] = -1
    maps[0, 1, 3, 4] = -0.25
    assert decode(maps, decoder, CROP).tolist() == [[[0, 0, 0], [0, 0, -0.25]]]


def test_the_blur_is_that_of_opencv():
    plane = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    blurred = blur_matrix(HEIGHT) @ plane @ blur_matrix(WIDTH).T
    assert blurred == pytest.approx(cv2.GaussianBlur(plane, (11, 11), 0), abs=1e-6)
