"""Sizes and names of the backbones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from everypose.backbones.hrnet import HRNet
from everypose.backbones.lite import Lite
from everypose.backbones.pretrained.trunks import read_trunk
from everypose.errors import EveryposeError


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192)])
def test_features_are_at_stride_four(height: int, width: int) -> None:
    images = torch.randn(2, 3, height, width)
    for backbone in (Lite(), HRNet(4, (1, 1, 1), 1, 1)):
        with torch.no_grad():
            feature = backbone.eval()(images)
        assert feature.shape == (2, backbone.channels, height // 4, width // 4)


def test_hrnet_names_and_keeps_all_branches() -> None:
    with torch.device("meta"):
        network = HRNet(32)
    names = set(network.state_dict())
    assert {"transition1.0.0.weight", "transition1.1.0.0.weight", "transition3.3.0.1.running_mean"} <= names
    assert {"stage4.2.fuse_layers.3.0.2.1.bias", "stage3.3.branches.2.3.conv2.weight"} <= names
    assert network.widths == [32, 64, 128, 256]


def test_lite_has_the_size_of_its_origin() -> None:
    # MoveNet Lightning's 2,318,190 parameters without its offset head.
    assert sum(parameter.numel() for parameter in Lite().parameters()) == 2_318_190 - 5_938


def test_a_trunk_is_read_under_its_own_names(tmp_path: Path) -> None:
    trunk = Lite().state_dict()
    pyramid = ("lateral", "smooth")
    theirs = {f"fpn.{name}" if name.startswith(pyramid) else name: value.numpy() for name, value in trunk.items()}
    theirs = {
        (f"backbone.{name}" if name.startswith("conv") else name.replace("blocks.", "backbone.block")): value
        for name, value in theirs.items()
    }
    np.savez(tmp_path / "trunk.npz", **theirs, **{"kpt_offset.out.weight": np.zeros(1)})
    read = read_trunk(tmp_path / "trunk.npz")
    assert set(read) == set(trunk)
    assert all(torch.equal(value, trunk[name]) for name, value in read.items())


def test_a_damaged_trunk(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(EveryposeError, match=r"cannot read .*bad\.npz"):
        read_trunk(tmp_path / "bad.npz")
