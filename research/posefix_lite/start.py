"""Make the initial weights of posefix-lite from PP-TinyPose.

    python -m research.posefix_lite.start TINYPOSE.onnx OUT

The image's channels keep PP-TinyPose's weights, those of the pose maps start at zero. The head's heatmaps lie between 0
and 1, where a softmax is almost uniform: they are scaled so that the soft-argmax starts near their peaks.
"""

import argparse
from pathlib import Path

import torch

from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.backbones.settings import LiteHRNetSettings
from everypose.core.geometry import Size
from everypose.methods.posefix.method import build, fit_backbone
from everypose.methods.posefix.network import PoseFix
from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton

LOGIT_SCALE = 20.0


def start(published: Path) -> tuple[PoseFix, ModelConfig]:
    """Return the network and its configuration."""
    settings = PoseFixSettings(backbone=LiteHRNetSettings())
    network = build(settings, 17)
    assert isinstance(network.backbone, LiteHRNet)
    with torch.no_grad():
        network.backbone.stem.conv.weight[:, 3:] = 0
    tensors = read_tinypose(published)
    backbone = {
        name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")
    }
    state = {f"backbone.{name}": value for name, value in fit_backbone(backbone, network.backbone).items()}
    state |= {name: LOGIT_SCALE * value for name, value in tensors.items() if name.startswith("head.")}
    network.load_state_dict(state)
    config = ModelConfig(
        name="posefix-lite-start",
        network=settings,
        skeleton=Skeleton.named("coco"),
        inference=RefinementInference(crop_size=Size(192, 256)),
    )
    return network, config


def main() -> None:
    """Write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("published", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    save_model(*start(options.published), options.out)


if __name__ == "__main__":
    main()
