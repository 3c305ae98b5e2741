"""The specification of PoseFix: building, initialization, losses, weights of a pretrained backbone."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from everypose.backbones.build import build_crop_backbone
from everypose.methods.posefix.losses import coordinate_loss, heatmap_loss
from everypose.methods.posefix.network import PoseFix, input_layer
from everypose.methods.posefix.settings import PoseFixSettings, PoseFixTraining
from everypose.methods.spec import Initialization, MethodSpec, Objective


def build(settings: PoseFixSettings, keypoints: int) -> PoseFix:
    """Make the network with the framework's initial weights.

    >>> backbone = {"kind": "resnet", "blocks": (1, 1, 1, 1)}
    >>> build(PoseFixSettings(backbone=backbone, deconv=8), keypoints=17).stride
    4
    """
    return PoseFix(build_crop_backbone(settings.backbone), keypoints, sigma=settings.sigma, deconv=settings.deconv)


def initialize(network: PoseFix, initialization: Initialization) -> None:
    """Reinitialize the head: the paper draws its weights from N(0, 0.001^2), biases 0.

    >>> backbone = {"kind": "resnet", "blocks": (1, 1, 1, 1)}
    >>> network = build(PoseFixSettings(backbone=backbone, deconv=8), keypoints=17)
    >>> initialize(network, Initialization.PAPER)
    >>> float(network.head.final.weight.detach().std()) < 0.002
    True
    """
    if initialization is Initialization.PAPER:
        for module in network.head.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def objective(_: PoseFixTraining) -> Objective:
    """Return the losses: cross-entropy of the heatmaps and distance of the soft-argmax coordinates.

    >>> heatmaps, points = torch.zeros(1, 1, 4, 4), torch.tensor([[[1.5, 1.5]]])  # a flat map's mean is its middle
    >>> losses = objective(PoseFixTraining())(heatmaps, points, torch.tensor([[True]]))
    >>> {name: round(float(value), 2) for name, value in losses.items()}
    {'heatmap': 2.77, 'coordinate': 0.0}
    """

    def both(heatmaps: Tensor, points: Tensor, valid: Tensor) -> dict[str, Tensor]:
        maps = heatmaps.float()
        return {"heatmap": heatmap_loss(maps, points, valid), "coordinate": coordinate_loss(maps, points, valid)}

    return both


def fit_backbone(state: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Complete the first convolution of a backbone for images by the network's own weights for the pose maps.

    Args:
        state: weights of a backbone whose first convolution takes three channels.
        backbone: PoseFix's, which takes 3 + K.

    >>> backbone = {"kind": "resnet", "blocks": (1, 1, 1, 1)}
    >>> network = build(PoseFixSettings(backbone=backbone, deconv=8), keypoints=17)
    >>> for_images = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    >>> fit_backbone(for_images, network.backbone)["conv1.weight"].shape  # and 17 pose maps
    torch.Size([64, 20, 7, 7])
    """
    name = f"{input_layer(backbone)}.weight"
    if name not in state or state[name].shape[1] != 3:
        return dict(state)
    own = backbone.state_dict()[name]
    return {**state, name: torch.cat([state[name], own[:, 3:]], dim=1)}


SPEC = MethodSpec(build=build, initialize=initialize, objective=objective, fit_backbone=fit_backbone)
