"""Gaussian targets and their loss against recorded ones and literal twins."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.targets import gaussian_targets
from golden_vectors import load


@pytest.mark.parametrize("name", ["256x192_s2", "384x288_s3", "crowdpose_128x96_s2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_classic_targets_equal_the_release(name, dtype):
    golden = {key.partition("/")[2]: value for key, value in load("mipnet/targets").items() if key.startswith(name)}
    keypoints = np.concatenate([golden["joints"][:, :2], golden["joints_vis"][:, :1]], axis=1)
    sizes = (tuple(golden[f"{which}_size_wh"].tolist()) for which in ("image", "heatmap"))
    targets, weights = gaussian_targets(torch.tensor(keypoints[None], dtype=dtype), *sizes, int(golden["sigma"]), False)  # type: ignore[call-arg]
    np.testing.assert_array_equal(weights[0], golden["target_weight"][:, 0])
    np.testing.assert_allclose(targets[0], golden["target"], atol=1e-6)
    assert targets.dtype == weights.dtype == torch.float32


@pytest.mark.parametrize(("udp", "name"), [(False, "msra"), (True, "udp")])
def test_targets_of_both_conventions_equal_vitposes(udp, name):
    golden = load("posebh/crops")
    keypoints = np.concatenate([golden["tgt_joints"][:, :2], golden["tgt_vis"][:, :1]], axis=1)
    targets, weights = gaussian_targets(torch.tensor(keypoints[None]).float(), (192, 256), (48, 64), 2, udp)
    np.testing.assert_array_equal(weights[0], golden[f"tgt_{name}_weight"][:, 0])
    np.testing.assert_allclose(targets[0], golden[f"tgt_{name}"], atol=1e-5)
    joints, visible = golden[f"affine_{name}_joints"], golden["affine_in_vis"]
    keypoints = torch.from_numpy(np.concatenate([joints[:, :2], visible[:, :1]], axis=1))
    targets, weights = gaussian_targets(keypoints[None], (24, 32), (12, 16), 2, udp)
    np.testing.assert_array_equal(weights[0], golden[f"affine_{name}_target_weight"][:4, 0])
    np.testing.assert_allclose(targets[0], golden[f"affine_{name}_target"][:4], atol=1e-5)


def literal_target(x, y, visible, image_size, heatmap_size, sigma, udp):
    """One keypoint, cell by cell."""
    (width, height), radius = heatmap_size, 3 * sigma
    if udp:
        x, y = (
            p * (cells - 1) / (pixels - 1) for p, cells, pixels in zip((x, y), heatmap_size, image_size, strict=True)
        )
    else:
        x, y = (p * cells / pixels for p, cells, pixels in zip((x, y), heatmap_size, image_size, strict=True))
    column, row = int(x + 0.5), int(y + 0.5)
    target = np.zeros((height, width))
    misses = any(c - radius >= cells or c + radius + 1 < 0 for c, cells in ((column, width), (row, height)))
    if misses or not visible:
        return target, 0.0
    center_x, center_y = (x, y) if udp else (column, row)
    for j in range(max(0, row - radius), min(height, row + radius + 1)):
        for i in range(max(0, column - radius), min(width, column + radius + 1)):
            target[j, i] = math.exp(-((i - center_x) ** 2 + (j - center_y) ** 2) / (2 * sigma**2))
    return target, 1.0


# Not where rounding decides the cell.
coordinate = st.floats(-40, 110).filter(lambda v: 0.01 < v / 4 % 0.5 < 0.49 and 0.01 < v * 11 / 47 % 0.5 < 0.49)


@given(st.lists(st.tuples(coordinate, coordinate, st.sampled_from([0, 1])), min_size=1, max_size=4), st.booleans())
def test_targets_equal_their_literal_twin(points, udp):
    keypoints = torch.tensor(points, dtype=torch.float64)[None]
    targets, weights = gaussian_targets(keypoints, (48, 48), (12, 12), 2, udp)
    for k, (x, y, visible) in enumerate(points):
        target, weight = literal_target(x, y, visible, (48, 48), (12, 12), 2, udp)
        np.testing.assert_allclose(targets[0, k], target, atol=1e-6)
        assert weights[0, k] == weight


def test_a_mixed_batch_equals_its_samples_one_by_one():
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.rand(4, 2, 5, 3, generator=generator) * torch.tensor([90.0, 120.0, 1.0]) - torch.tensor(
        [0, 0, 0.3]
    )
    udp = torch.tensor([True, False, False, True])
    targets, weights = gaussian_targets(keypoints, (96, 128), (24, 32), 2, udp)
    assert targets.shape == (4, 2, 5, 32, 24)
    for i in range(4):
        alone, weight = gaussian_targets(keypoints[i : i + 1], (96, 128), (24, 32), 2, bool(udp[i]))
        assert torch.equal(targets[i], alone[0])
        assert torch.equal(weights[i], weight[0])
    order = torch.randperm(5, generator=generator)
    permuted, _ = gaussian_targets(keypoints[:, :, order], (96, 128), (24, 32), 2, udp)
    assert torch.equal(permuted, targets[:, :, order])


@pytest.mark.parametrize("udp", [True, torch.zeros(0, dtype=torch.bool)])
def test_nothing_to_draw(udp):
    targets, weights = gaussian_targets(torch.zeros(0, 1, 5, 3), (96, 128), (24, 32), 2, udp)
    assert targets.shape == (0, 1, 5, 32, 24)
    assert weights.shape == (0, 1, 5)


def test_loss_equals_its_literal_twin():
    rng = np.random.default_rng(0)
    heatmaps, targets = rng.normal(size=(2, 3, 4, 5, 6)), rng.normal(size=(2, 3, 4, 5, 6))
    weights = rng.uniform(size=(2, 3, 4))
    weights[0, 0] = 0
    means = np.zeros((2, 3))
    for b in range(2):
        for n in range(3):
            for k in range(4):
                for row in range(5):
                    for column in range(6):
                        at = (b, n, k, row, column)
                        difference = weights[b, n, k] * heatmaps[at] - weights[b, n, k] * targets[at]
                        means[b, n] += difference**2 / (4 * 5 * 6)
    tensors = [torch.from_numpy(array) for array in (heatmaps, targets, weights)]
    np.testing.assert_allclose(joints_mse(*tensors, per_sample=True), means)
    np.testing.assert_allclose(joints_mse(*tensors), means.mean())


def test_loss_of_the_released_training_step():
    golden = load("mipnet/hrnet_w8")
    heatmaps = torch.from_numpy(golden["train_out"])
    for name in ("primary", "second"):
        # The batch of two crops went through the network twice, once for each instance.
        targets = torch.from_numpy(golden[f"train_target_{name}"]).repeat(2, 1, 1, 1)
        weights = torch.from_numpy(golden[f"train_weight_{name}"])[..., 0].repeat(2, 1)
        halved = joints_mse(heatmaps, targets, weights, per_sample=True) / 2
        np.testing.assert_allclose(halved, golden[f"train_loss_{name}_per_sample"], rtol=1e-5)
