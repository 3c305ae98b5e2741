"""Decoding of SimCC by a literal reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.geometry import Size
from everypose.methods.simcc.decoding import decode


@given(st.integers(0, 2**32 - 1))
def test_as_the_reference(seed):
    rng = np.random.default_rng(seed)
    x_scores = rng.normal(0, 1, (2, 3, 12)).astype(np.float32)
    y_scores = rng.normal(-1, 1, (2, 3, 16)).astype(np.float32)
    found = decode(x_scores, y_scores, Size(6, 8))
    for crop in range(2):
        for keypoint in range(3):
            across, down = list(x_scores[crop, keypoint]), list(y_scores[crop, keypoint])
            score = (max(across) + max(down)) / 2
            place = (across.index(max(across)) / 2, down.index(max(down)) / 2) if score > 0 else (0, 0)
            assert found[crop, keypoint] == pytest.approx([*place, score], abs=1e-6)
