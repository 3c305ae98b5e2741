"""The baselines on crops: SimpleBaseline (Xiao et al., ECCV 2018) and HRNet (Sun et al., CVPR 2019).

Both give the heatmaps of one person for each crop, at stride 4.
"""

from itertools import pairwise

from torch import Tensor, nn

from everypose.backbones.backbone import Backbone

STRIDE = 4
"""Crop pixels for each cell of a heatmap."""


class DeconvHead(nn.Module):
    """SimpleBaseline's head: three transposed convolutions that double the size, then a 1x1 convolution.

    Args:
        inputs: channels of the backbone's feature.
        width: channels of the transposed convolutions.
        keypoints: number of keypoints of the skeleton.

    >>> import torch
    >>> DeconvHead(inputs=16, width=8, keypoints=17).eval()(torch.zeros(1, 16, 8, 6)).shape
    torch.Size([1, 17, 64, 48])
    """

    def __init__(self, inputs: int, width: int, keypoints: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, width, width, width)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.deconv = nn.Sequential(*layers)
        self.final = nn.Conv2d(width, keypoints, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, inputs, h, w) to heatmaps (B, K, 8h, 8w)."""
        heatmaps: Tensor = self.final(self.deconv(feature))
        return heatmaps


class Baseline(nn.Module):
    """A backbone and a head on its feature: what SimpleBaseline and HRNet have in common.

    >>> import torch
    >>> from everypose.backbones.resnet import ResNet
    >>> network = SimpleBaseline(ResNet((1, 1, 1, 1)), keypoints=17, deconv=8).eval()
    >>> network.heatmaps(torch.zeros(1, 3, 64, 32)).shape  # one person a crop
    torch.Size([1, 1, 17, 16, 8])
    """

    backbone: Backbone
    head: nn.Module

    def heatmaps(self, images: Tensor) -> Tensor:
        """One person for each crop: normalized (B, 3, H, W), H and W multiples of 32, to (B, 1, K, H/4, W/4)."""
        heatmaps: Tensor = self.head(self.backbone(images))
        return heatmaps[:, None]

    def forward(self, images: Tensor) -> Tensor:
        """The same as :meth:`heatmaps`."""
        return self.heatmaps(images)


class SimpleBaseline(Baseline):
    """A backbone such as ResNet and transposed convolutions.

    Args:
        backbone: with a feature at stride 32, such as a ResNet.
        keypoints: number of keypoints of the skeleton.
        deconv: channels of the transposed convolutions.

    >>> import torch
    >>> from everypose.backbones.resnet import ResNet
    >>> SimpleBaseline(ResNet((1, 1, 1, 1)), keypoints=17, deconv=8).eval()(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 1, 17, 16, 8])
    """

    def __init__(self, backbone: Backbone, keypoints: int, deconv: int = 256) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = DeconvHead(backbone.channels, deconv, keypoints)


class HRNetPose(Baseline):
    """A backbone such as HRNet and a 1x1 convolution on its feature at stride 4.

    Args:
        backbone: with a feature at stride 4: HRNet with ``outputs=1``, LiteHRNet.
        keypoints: number of keypoints of the skeleton.

    >>> import torch
    >>> from everypose.backbones.hrnet import HRNet
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1, outputs=1)
    >>> HRNetPose(backbone, keypoints=17).eval()(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 1, 17, 16, 8])
    """

    def __init__(self, backbone: Backbone, keypoints: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels, keypoints, 1)


def make_baseline(backbone: Backbone, keypoints: int, deconv: int = 256) -> Baseline:
    """Put the head on a backbone: HRNet's on a feature at stride 4, SimpleBaseline's on one at stride 32.

    >>> from everypose.backbones.lite_hrnet import LiteHRNet
    >>> type(make_baseline(LiteHRNet(8), 17)).__name__
    'HRNetPose'
    """
    if backbone.stride == STRIDE:
        return HRNetPose(backbone, keypoints)
    return SimpleBaseline(backbone, keypoints, deconv)


def initialize(network: nn.Module, std: float = 0.001) -> None:
    """The released initialization: weights of all convolutions from N(0, std^2), biases 0.

    >>> import torch
    >>> head = DeconvHead(inputs=16, width=8, keypoints=17)
    >>> initialize(head)
    >>> bool(head.final.weight.detach().abs().max() < 0.01), float(head.final.bias.detach().abs().max())
    (True, 0.0)
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
