"""The trunk of Lightweight OpenPose and what joins its strides."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from everypose.backbones.openpose_light import CHANNELS, OpenPoseLight, Trunk
from everypose.released import openpose_light
from everypose.released.trunks import read_trunk


def test_the_trunk_has_the_size_of_its_origin() -> None:
    assert sum(parameter.numel() for parameter in Trunk().parameters()) == 4_099_058


def their_name(ours: str) -> str:
    """One of our parameter names as the Open Model Zoo's file has it, written out case by case."""
    part, kind = ours.rsplit(".", 1)
    fixed = {
        "conv1": "conv1",
        "context.al": "conv4_3_CPM.al",
        "context.pw.0": "conv4_3_CPM.red",
        "context.dw.0": "conv4_3_CPM.dw1",
        "context.pw.1": "conv4_3_CPM.dw1.1x1",
        "context.dw.1": "conv4_3_CPM.dw2",
        "context.pw.2": "conv4_3_CPM.dw2.1x1",
        "context.dw.2": "conv4_3_CPM.dw3",
        "context.pw.3": "conv4_3_CPM.inc",
        "context.out": "conv4_4_CPM",
        "first.shared.0": "conv5_1_CPM_L1",
        "first.shared.1": "conv5_2_CPM_L1",
        "first.shared.2": "conv5_3_CPM_L1",
        "first.fields.0": "conv5_4_CPM_L1",
        "first.fields.2": "conv5_5_CPM_L1",
        "first.heatmaps.0": "conv5_4_CPM_L2",
        "first.heatmaps.2": "conv5_5_CPM_L2",
        "fields.0": "Mconv6_stage2_L1",
        "fields.2": "Mconv7_stage2_L1",
        "heatmaps.0": "Mconv6_stage2_L2",
        "heatmaps.2": "Mconv7_stage2_L2",
    }
    for number in range(5):
        for name, theirs in (("squeeze", "sq"), ("conv", "3x3"), ("dilated", "3x3.2")):
            fixed[f"refinement.{number}.{name}"] = f"Mconv{number + 1}_stage2_L1.{theirs}"
    return f"{fixed.get(part, part.removeprefix('mobilenet.'))}.{kind}"


def test_a_trunk_is_read_under_its_own_names(tmp_path: Path) -> None:
    trunk = Trunk().state_dict()
    arrays = {their_name(name): value.numpy() for name, value in trunk.items()}
    assert openpose_light.MARK in arrays
    np.savez(tmp_path / "trunk.npz", **arrays)
    read = read_trunk(tmp_path / "trunk.npz")
    assert set(read) == {f"trunk.{name}" for name in trunk}
    # It knows BGR, our images are RGB.
    trunk["conv1.weight"] = trunk["conv1.weight"][:, [2, 1, 0]]
    assert all(torch.equal(value, trunk[name.removeprefix("trunk.")]) for name, value in read.items())


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128)])
def test_features_are_at_stride_four(height: int, width: int) -> None:
    backbone = OpenPoseLight().eval()
    with torch.no_grad():
        feature = backbone(torch.randn(2, 3, height, width))
        stride4, stride8 = backbone.trunk(torch.randn(2, 3, height, width))
    assert feature.shape == (2, OpenPoseLight.channels, height // 4, width // 4)
    assert stride4.shape == (2, CHANNELS, height // 4, width // 4)
    assert stride8.shape[2:] == (height // 8, width // 8)


@pytest.mark.parametrize(("row", "column"), [(3, 20), (0, 0), (15, 31)])
def test_the_scalar_product_of_places_falls_with_their_distance(row: int, column: int) -> None:
    backbone = OpenPoseLight().eval()
    with torch.no_grad():
        places = backbone(torch.zeros(1, 3, 64, 128))[0, -32:-16]
    response = torch.einsum("c,chw->hw", places[:, row, column], places)
    expected = torch.zeros(16, 32)
    for y in range(16):
        for x in range(32):
            for wavelength in (32, 64, 128, 256):
                expected[y, x] += math.cos(2 * math.pi * (x - column) / wavelength)
                expected[y, x] += math.cos(2 * math.pi * (y - row) / wavelength)
    torch.testing.assert_close(response, expected, atol=1e-4, rtol=0)
    assert divmod(int(response.argmax()), 32) == (row, column)


def test_an_offset_moves_the_place_of_the_person() -> None:
    backbone = OpenPoseLight().eval()
    torch.nn.init.zeros_(backbone.offset.weight)
    assert backbone.offset.bias is not None
    with torch.no_grad():
        backbone.offset.bias.copy_(torch.tensor([5 / 32, -2 / 32]))
        feature = backbone(torch.zeros(1, 3, 64, 128))[0]
    pixels, centers = feature[-32:-16], feature[-16:]
    torch.testing.assert_close(centers[:, 2:, :-5], pixels[:, :-2, 5:], atol=1e-4, rtol=0)
