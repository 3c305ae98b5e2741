"""Checkpoints of one data set of easy_ViTPose and the authors' tool, whose names state the skeleton."""

from pathlib import Path

import pytest
import torch

from everypose.backbones.settings import ViTSettings
from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.torch import read_network
from everypose.methods.vitpose.method import SPEC
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import build_network
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import resolve
from everypose.skeleton.skeleton import Skeleton

BACKBONE = ViTSettings(width=384, depth=1, heads=12, image_size=(48, 64))


def write(path: Path, keypoints: int, *, left: bool = False) -> Path:
    """Write a checkpoint under the authors' names; with ``left`` also what a split leaves of the others."""
    network = build_network(ViTPoseSettings(backbone=BACKBONE, channels=4), keypoints)
    state = SPEC.export_state(network.state_dict())
    assert all(name.startswith(("backbone.", "keypoint_head.")) for name in state)
    if left:
        state["backbone.blocks.0.mlp.experts.0.weight"] = torch.zeros(96, 1536)
        state["backbone.blocks.0.mlp.experts.0.bias"] = torch.zeros(96)
        state["associate_keypoint_heads.0.final_layer.weight"] = torch.zeros(14, 4, 1, 1)
        state["associate_keypoint_heads.0.final_layer.bias"] = torch.zeros(14)
    torch.save({"state_dict": state} if left else state, path)
    return path


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    ("file", "keypoints", "skeleton"),
    [
        ("vitpose-h-coco", 17, "coco"),
        ("vitpose-h-coco_25", 25, "coco_25"),
        ("vitpose-h-wholebody", 133, "coco_wholebody"),
        ("vitpose-h-mpii", 16, "mpii"),
        ("vitpose-h-aic", 14, "aic"),
        ("vitpose-h-ap10k", 17, "ap10k"),
        ("apt36k", 17, "apt36k"),
        ("crowd", 14, "crowdpose"),
    ],
)
def test_the_name_states_the_skeleton(tmp_path, file, keypoints, skeleton, left):
    network, config = import_checkpoint(write(tmp_path / f"{file}.pth", keypoints, left=left))
    assert config.skeleton == Skeleton.named(skeleton)
    assert config.on_crops.decoder == ("udp" if skeleton in ("coco", "mpii") else "quarter")
    assert network(torch.zeros(1, 3, 64, 48)).shape == (1, keypoints, 16, 12)


def test_a_skeleton_that_is_given_comes_first(tmp_path):
    path = write(tmp_path / "vitpose-s-coco.pth", 17)
    assert import_checkpoint(path, Skeleton.named("apt36k"))[1].skeleton.name == "apt36k"
    with pytest.raises(UsageError, match="17 keypoints, but the skeleton aic has 14"):
        import_checkpoint(path, Skeleton.named("aic"))


def test_a_folder_with_one_checkpoint_is_a_model(tmp_path):
    write(tmp_path / "vitpose-s-mpii.pth", 16)
    assert read_network(resolve(tmp_path))[1].skeleton.name == "mpii"
    write(tmp_path / "vitpose-s-aic.pth", 14)
    with pytest.raises(EveryposeError, match=r"it needs config\.json and .*, or one \.onnx or \.pth file"):
        resolve(tmp_path)


def test_a_checkpoint_with_code_is_refused(tmp_path):
    path = tmp_path / "vitpose-s-coco.pth"
    torch.save(
        {"state_dict": {"backbone.pos_embed": torch.zeros(1)}, "code": test_a_checkpoint_with_code_is_refused}, path
    )
    with pytest.raises(EveryposeError, match="holds more than tensors and is refused; nothing in it was run"):
        import_checkpoint(path)
