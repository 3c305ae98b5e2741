"""Features as colors."""

import numpy as np
import pytest

from everypose.errors import UsageError
from everypose.studies.embedding_colors import colors_of, neighbors_kept, study_colors, three_values
from studies.fake_maps import FakeMaps


def test_pca_gives_the_first_three_principal_components():
    features = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32) * [5, 1, 3, 0.1, 2, 0.2]
    centered = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    found = three_values(features, "pca")
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :3] * values[:3]), atol=1e-5)


def test_neighbors_kept_is_the_share_of_common_neighbors():
    rng = np.random.default_rng(1)
    features, values = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(30, 3))
    expected = []
    for row in range(30):
        near = []
        for points in (features, values):
            distances = np.linalg.norm(points - points[row], axis=1)
            distances[row] = np.inf
            near.append(set(np.argsort(distances)[:10].tolist()))
        expected.append(len(near[0] & near[1]) / 10)
    assert neighbors_kept(features, values) == pytest.approx(np.mean(expected))
    assert neighbors_kept(features, features.astype(np.float64)) == 1


def test_colors_reach_from_the_first_to_the_last_percentile():
    values = np.stack([np.arange(101.0), -np.arange(101.0), np.zeros(101)], axis=1)
    colors = colors_of(values)
    assert colors[[0, 1, 50, 99, 100], 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert colors[0, 1] == 1
    assert (colors[:, 2] == 0).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_two_halves_get_two_colors(method):
    if method == "tsne":
        pytest.importorskip("sklearn")
    rng = np.random.default_rng(2)
    feature = rng.normal(scale=0.05, size=(1, 8, 16, 16)).astype(np.float32)
    feature[0, 0, :, 8:] += 5
    study = study_colors([FakeMaps(feature, "boir")], np.zeros((64, 64, 3), np.uint8), method=method, cells=100)
    assert study.name == method
    row = study.rows[0]
    assert (row["channels"], row["map"], row["shown"]) == (8, "16 x 16", "10 x 10")
    assert 0 <= row["neighbors kept"] <= 1
    left, right = three_values(feature[0].reshape(8, -1).T, method).reshape(16, 16, 3)[:, [0, 15]].transpose(1, 0, 2)
    assert np.linalg.norm(left.mean(axis=0) - right.mean(axis=0)) > 3 * max(left.std(), right.std())


def test_too_few_cells_are_refused():
    with pytest.raises(UsageError, match="at least 16"):
        study_colors([], np.zeros((64, 64, 3), np.uint8), cells=15)


def test_a_map_whose_aspect_leaves_too_few_cells_is_refused():
    feature = np.random.default_rng(0).normal(size=(1, 8, 20, 39)).astype(np.float32)
    with pytest.raises(UsageError, match=r"--cells 16: 16 are needed, and a map of 39 x 20 is averaged to 5 x 2"):
        study_colors([FakeMaps(feature, "boir")], np.zeros((80, 156, 3), np.uint8), method="pca", cells=16)
