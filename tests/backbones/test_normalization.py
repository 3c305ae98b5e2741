"""What a backbone sees of a pixel."""

import pytest
import torch

from everypose.backbones.normalization import IMAGENET, Normalization, normalize

PIXEL = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)


@pytest.mark.parametrize("normalization", [IMAGENET, Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))])
@pytest.mark.parametrize("bgr", [False, True])
def test_normalized_pixels(normalization: Normalization, bgr: bool) -> None:
    values = (255, 128, 0) if bgr else (0, 128, 255)
    expected = [(v / 255 - m) / s for v, m, s in zip(values, normalization.mean, normalization.std, strict=True)]
    assert normalize(PIXEL, normalization, bgr).flatten().tolist() == pytest.approx(expected, abs=1e-6)
