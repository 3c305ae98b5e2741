"""Center peaks against the recorded ones and a literal twin."""

import numpy as np
import pytest
import torch

from everypose.methods.single_stage.peaks import SMALLEST_CENTER_SCORE, find_peaks, smooth
from golden_vectors import load


def find(center_map: torch.Tensor, pool: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = center_map.shape[-2:]
    scores, yx = find_peaks(smooth(center_map, pool), torch.tensor((height + width) / 2))
    kept = scores[0] > SMALLEST_CENTER_SCORE
    return scores[0][kept].numpy(), yx[0][kept].numpy()


@pytest.mark.parametrize("pool", [3, 11])
@pytest.mark.parametrize("size", ["48x64", "192x224", "320x304"])
def test_peaks_equal_the_recorded_ones(size: str, pool: int) -> None:
    vectors = load("boir_extra")
    center_map = torch.from_numpy(vectors[f"peaks_{size}/center_map_u16"].astype(np.float32)) / 65535
    scores, yx = find(center_map, pool)
    assert (yx == vectors[f"peaks_{size}/k{pool}_yx"]).all()
    assert np.abs(scores - vectors[f"peaks_{size}/k{pool}_score"]).max() < 1e-6


@pytest.mark.parametrize(("height", "width", "window"), [(40, 50, 3), (201, 203, 5), (300, 304, 7)])
def test_peaks_equal_their_literal_twin(height: int, width: int, window: int) -> None:
    center_map = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height))
    plane, reach = smooth(center_map, 3)[0, 0].numpy(), window // 2
    peaks = [
        (plane[y, x], y, x)
        for y, x in zip(*np.nonzero(plane > 0.6), strict=True)
        if plane[y, x] == plane[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].max()
    ]
    twin = sorted(peaks, reverse=True)[:30]
    scores, yx = find(center_map, 3)
    assert len(twin) == 30
    assert [(int(y), int(x)) for _, y, x in twin] == [(int(y), int(x)) for y, x in yx]
    assert np.allclose(scores, [score for score, _, _ in twin])
