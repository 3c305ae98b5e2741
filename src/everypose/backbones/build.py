"""Backbones from their settings."""

from typing import cast

from torch import nn

from everypose.backbones.backbone import Backbone
from everypose.backbones.hrnet import HRNet
from everypose.backbones.lite import Lite
from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.resnet import ResNet
from everypose.backbones.settings import BackboneSettings, HRNetSettings, LiteHRNetSettings, ResNetSettings, ViTSettings
from everypose.backbones.vit import ViT
from everypose.core.plugins import load_reference
from everypose.errors import UsageError


def build_backbone(settings: BackboneSettings) -> Backbone:
    """Make the backbone of a single-stage network, with the framework's initial weights.

    >>> from everypose.backbones.settings import LiteSettings
    >>> build_backbone(LiteSettings()).channels
    196
    """
    return _build(settings.builder, settings)


def build_hrnet(settings: HRNetSettings, outputs: int = 4) -> HRNet:
    """Make an HRNet with ``outputs`` output branches, from the finest on.

    >>> settings = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    >>> build_hrnet(settings, outputs=1).channels, build_hrnet(settings).channels
    (4, 60)
    """
    return HRNet(settings.width, settings.modules, settings.blocks, settings.stem_blocks, outputs)


def build_single_stage_hrnet(settings: HRNetSettings) -> HRNet:
    """Make the HRNet of a single-stage network, with the small initial weights of the released code.

    >>> settings = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    >>> build_single_stage_hrnet(settings).channels  # 15 x width: all four branches
    60
    """
    network = build_hrnet(settings)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
    return network


def build_lite(_: BackboneSettings) -> Lite:
    """Make the small mobile backbone.

    >>> from everypose.backbones.settings import LiteSettings
    >>> build_lite(LiteSettings()).stride
    4
    """
    return Lite()


def build_openpose_light(_: BackboneSettings) -> OpenPoseLight:
    """Make Lightweight OpenPose's backbone.

    >>> from everypose.backbones.settings import OpenPoseLightSettings
    >>> build_openpose_light(OpenPoseLightSettings()).channels
    153
    """
    return OpenPoseLight()


def build_crop_backbone(settings: BackboneSettings) -> Backbone:
    """Make the backbone of a convolutional top-down network, with the framework's initial weights.

    >>> from everypose.backbones.settings import ResNetSettings
    >>> build_crop_backbone(ResNetSettings(blocks=(1, 1, 1, 1))).channels
    2048

    Raises:
        UsageError: if it is not a backbone for crops.
    """
    if not settings.crop_builder:
        raise UsageError(f"the backbone {settings.kind} is not one of top-down networks")
    return _build(settings.crop_builder, settings)


def build_crop_hrnet(settings: HRNetSettings) -> HRNet:
    """Make the HRNet of a top-down network: its finest branch is the output.

    >>> build_crop_hrnet(HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)).channels
    4
    """
    return build_hrnet(settings, outputs=1)


def build_lite_hrnet(settings: LiteHRNetSettings) -> LiteHRNet:
    """Make a Lite-HRNet.

    >>> build_lite_hrnet(LiteHRNetSettings(width=8, modules=(1, 1, 1))).channels
    8
    """
    return LiteHRNet(settings.width, settings.modules)


def build_resnet(settings: ResNetSettings) -> ResNet:
    """Make a ResNet.

    >>> build_resnet(ResNetSettings(blocks=(1, 1, 1, 1))).stride
    32
    """
    return ResNet(settings.blocks)


def build_vit(settings: ViTSettings) -> ViT:
    """Make a vision transformer with its initial weights.

    >>> network = build_vit(ViTSettings(width=16, depth=1, heads=2))
    >>> sum(weight.numel() for weight in network.parameters()) > 10_000
    True
    """
    return ViT(**settings.model_dump(exclude={"kind"}))


def _build(builder: str, settings: BackboneSettings) -> Backbone:
    """Call the function that ``builder`` refers to."""
    function = load_reference(builder)
    assert callable(function), f"{builder} is not a function"
    return cast(Backbone, function(settings))
