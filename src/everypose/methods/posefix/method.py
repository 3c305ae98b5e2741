"""PoseFix as everypose uses it: building, initialization, losses, weights of a pretrained backbone."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from everypose.backbones.build import build_crop_backbone
from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.resnet import ResNet
from everypose.methods.posefix.losses import coordinate_loss, heatmap_loss
from everypose.methods.posefix.network import PoseFix
from everypose.methods.posefix.settings import PoseFixSettings, PoseFixTraining
from everypose.methods.spec import Initialisation, MethodSpec, Objective

_FIRST_LAYERS = ("conv1.weight", "stem.conv.weight")


def build(settings: PoseFixSettings, keypoints: int) -> PoseFix:
    """Make the network with the framework's initial weights."""
    backbone = build_crop_backbone(settings.backbone)
    assert isinstance(backbone, ResNet | LiteHRNet)
    return PoseFix(backbone, keypoints, sigma=settings.sigma, deconv=settings.deconv)


def initialise(network: PoseFix, initialisation: Initialisation) -> None:
    """Reinitialize the head: the paper draws its weights from N(0, 0.001^2), biases 0."""
    if initialisation is Initialisation.PAPER:
        for module in network.head.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def objective(_: PoseFixTraining) -> Objective:
    """Return the losses: cross-entropy of the heatmaps and distance of the soft-argmax coordinates."""

    def both(heatmaps: Tensor, points: Tensor, valid: Tensor) -> dict[str, Tensor]:
        maps = heatmaps.float()
        return {"heatmap": heatmap_loss(maps, points, valid), "coordinate": coordinate_loss(maps, points, valid)}

    return both


def fit_backbone(state: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Complete the first convolution of a backbone for images by the network's own weights for the pose maps.

    Args:
        state: weights of a backbone whose first convolution takes three channels.
        backbone: PoseFix's, which takes 3 + K.
    """
    fitted, own = dict(state), backbone.state_dict()
    for name in _FIRST_LAYERS:
        if name in state and name in own and state[name].shape[1] == 3:
            fitted[name] = torch.cat([state[name], own[name][:, 3:]], dim=1)
    return fitted


SPEC = MethodSpec(build=build, initialise=initialise, objective=objective, fit_backbone=fit_backbone)
