"""The trunk of Lightweight OpenPose and what joins its strides."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from everypose.backbones.openpose_light import CHANNELS, FIELDS, HEATMAPS, OpenPoseLight
from everypose.backbones.pretrained import openpose_light
from everypose.backbones.pretrained.trunks import read_trunk
from everypose.errors import EveryposeError
from everypose.training.initial_weights import make_network
from everypose.training.recipe_files import load_recipe
from published_openpose import published_trunk, their_name


def test_a_trunk_is_read_under_its_own_names(tmp_path: Path) -> None:
    trunk = published_trunk().state_dict()
    assert sum(value.numel() for value in trunk.values()) == 4_099_058
    arrays = {their_name(name): value.numpy() for name, value in trunk.items()}
    assert openpose_light.MARK in arrays
    np.savez(tmp_path / "trunk.npz", **arrays)
    read = read_trunk(tmp_path / "trunk.npz")
    assert set(read) == {f"trunk.{name}" for name in trunk}
    # It knows BGR, our images are RGB.
    trunk["conv1.weight"] = trunk["conv1.weight"][:, [2, 1, 0]]
    assert all(torch.equal(value, trunk[name.removeprefix("trunk.")]) for name, value in read.items())


def test_a_published_trunk_is_to_be_fitted_first(tmp_path: Path) -> None:
    trunk = published_trunk().state_dict()
    np.savez(tmp_path / "trunk.npz", **{their_name(name): value.numpy() for name, value in trunk.items()})
    settings = [f"start.backbone={json.dumps(str(tmp_path / 'trunk.npz'))}", "data.skeleton=coco"]
    with pytest.raises(EveryposeError, match=r"trunk\.npz.*lighten_trunk"):
        make_network(load_recipe("boir-lite-start", settings), 17)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128)])
def test_features_are_at_stride_four(height: int, width: int) -> None:
    backbone = OpenPoseLight().eval()
    with torch.no_grad():
        feature = backbone(torch.randn(2, 3, height, width))
        stride4, stride8 = backbone.trunk(torch.randn(2, 3, height, width))
    assert feature.shape == (2, OpenPoseLight.channels, height // 4, width // 4)
    assert stride4.shape == (2, CHANNELS, height // 4, width // 4)
    assert stride8.shape == (2, CHANNELS + FIELDS + HEATMAPS, height // 8, width // 8)


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
    torch.nn.init.zeros_(backbone.places.offset.weight)
    assert backbone.places.offset.bias is not None
    with torch.no_grad():
        backbone.places.offset.bias.copy_(torch.tensor([5 / 32, -2 / 32]))
        batch = backbone(torch.zeros(1, 3, 64, 128))
        offsets = backbone.offsets(batch)
    torch.testing.assert_close(offsets, torch.tensor([5.0, -2.0])[None, :, None, None].expand(1, 2, 16, 32))
    feature = batch[0]
    pixels, centers = feature[-32:-16], feature[-16:]
    torch.testing.assert_close(centers[:, 2:, :-5], pixels[:, :-2, 5:], atol=1e-4, rtol=0)
