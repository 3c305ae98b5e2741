"""Heatmaps of each selector."""

import cv2
import numpy as np
import pytest

from evaluation.oracle import photo
from everypose.errors import UsageError
from everypose.studies.heatmaps import second_peak_share, study_heatmaps
from studies.fake_maps import FakeMaps

BOX = np.array([40.0, 30, 100, 140])


def test_second_peaks_are_searched_outside_the_first():
    maps = np.random.default_rng(0).normal(size=(4, 24, 20)).astype(np.float32)
    maps[3] = -1
    shares = second_peak_share(maps, apart=3)
    for each, share in zip(maps, shares, strict=True):
        row, column = np.unravel_index(each.argmax(), each.shape)
        far = [each[y, x] for y in range(24) for x in range(20) if abs(y - row) > 3 or abs(x - column) > 3]
        expected = max(0.0, max(far)) / each.max() if each.max() > 0 else 0.0
        assert share == pytest.approx(expected)


def planted(second):
    """Heatmaps (2, 17, 24, 16) with one peak, and a second one of this height in the second selector's maps."""
    maps = np.zeros((2, 17, 24, 16), np.float32)
    maps[:, :, 4, 4] = 0.8
    maps[1, :, 18, 12] = second
    return maps


def test_each_selector_is_a_panel_next_to_the_baseline():
    baseline, model = FakeMaps(planted(0)[:1], "hrnet"), FakeMaps(planted(0.4), "mipnet")
    study = study_heatmaps([baseline, model], photo(1), box=BOX, name="pair.png")
    assert [row["maps"] for row in study.rows] == ["tiny hrnet", "tiny mipnet, selector 1", "tiny mipnet, selector 2"]
    assert [row["peak"] for row in study.rows] == pytest.approx([0.8] * 3)
    assert [row["second peak"] for row in study.rows] == pytest.approx([0, 0, 0.5])
    picture = cv2.imdecode(np.frombuffer(study.picture, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] > 4 * 256


def test_one_keypoint_is_drawn():
    maps = planted(0)
    maps[:, 9, 4, 4] = 0.3
    study = study_heatmaps([FakeMaps(maps, "mipnet")], photo(1), box=BOX, keypoint="left_wrist")
    assert [row["peak"] for row in study.rows] == pytest.approx([0.3, 0.3])
    with pytest.raises(UsageError, match="no keypoint 'tail'"):
        study_heatmaps([FakeMaps(maps, "mipnet")], photo(1), box=BOX, keypoint="tail")
    with pytest.raises(UsageError, match="outside the image"):
        study_heatmaps([FakeMaps(maps, "mipnet")], photo(1), box=np.array([300.0, 0, 400, 50]))
