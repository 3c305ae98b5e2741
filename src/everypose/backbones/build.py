"""Backbones from their settings."""

from functools import singledispatch
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
    builder = load_reference(settings.builder)
    assert callable(builder), f"{settings.builder} is not a function"
    return cast(Backbone, builder(settings))


def build_hrnet(settings: HRNetSettings, outputs: int = 4) -> HRNet:
    """Make an HRNet with ``outputs`` output branches, from the finest on."""
    return HRNet(settings.width, settings.modules, settings.blocks, settings.stem_blocks, outputs)


def build_single_stage_hrnet(settings: HRNetSettings) -> HRNet:
    """Make the HRNet of a single-stage network, with the small initial weights of the released code."""
    network = build_hrnet(settings)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
    return network


def build_lite(_: BackboneSettings) -> Lite:
    """Make the small mobile backbone."""
    return Lite()


def build_openpose_light(_: BackboneSettings) -> OpenPoseLight:
    """Make Lightweight OpenPose's backbone."""
    return OpenPoseLight()


@singledispatch
def build_crop_backbone(settings: BackboneSettings) -> HRNet | LiteHRNet | ResNet:
    """Make the backbone of a convolutional top-down network, with the framework's initial weights.

    >>> from everypose.backbones.settings import ResNetSettings
    >>> build_crop_backbone(ResNetSettings(blocks=(1, 1, 1, 1))).channels
    2048
    """
    raise UsageError(f"the backbone {settings.kind} is not one of top-down networks")


@build_crop_backbone.register
def _(settings: HRNetSettings) -> HRNet:
    return build_hrnet(settings, outputs=1)


@build_crop_backbone.register
def _(settings: LiteHRNetSettings) -> LiteHRNet:
    return LiteHRNet(settings.width, settings.modules)


@build_crop_backbone.register
def _(settings: ResNetSettings) -> ResNet:
    return ResNet(settings.blocks)


def build_vit(settings: ViTSettings) -> ViT:
    """Make a vision transformer with its initial weights."""
    return ViT(**settings.model_dump(exclude={"kind"}))
