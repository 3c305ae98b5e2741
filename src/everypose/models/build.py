"""The torch side of models: building a network from its settings, saving and loading it."""

from typing import TypeAlias

import torch
from torch import nn

from everypose.backbones.hrnet import HRNet
from everypose.backbones.lite import Lite
from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.resnet import ResNet
from everypose.backbones.settings import (
    HRNetSettings,
    LiteHRNetSettings,
    LiteSettings,
    OpenPoseLightSettings,
    ResNetSettings,
    ViTSettings,
)
from everypose.backbones.vit import ViT
from everypose.errors import EveryposeError
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.network import initialise as initialise_boir
from everypose.methods.cid.network import CID
from everypose.methods.cid.network import initialise as initialise_cid
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.mipnet.network import initialise as initialise_mipnet
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.posebh.network import DataSet, PoseBH, PrototypePose
from everypose.methods.posebh.settings import PoseBHSettings
from everypose.methods.single_stage.graph import PoseGraph
from everypose.methods.top_down.baselines import HRNetPose, SimpleBaseline
from everypose.methods.top_down.baselines import initialise as initialise_baseline
from everypose.methods.top_down.graph import TopDownGraph
from everypose.methods.top_down.settings import SimpleBaselineSettings
from everypose.methods.vitpose.network import HeatmapHead, ViTPose
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.config import ModelConfig
from everypose.models.settings import Network, SingleStageSettings, TopDownSettings

SingleStageNetwork: TypeAlias = BoIR | CID
TopDownNetwork: TypeAlias = SimpleBaseline | HRNetPose | MIPNet | ViTPose | PoseBH | PrototypePose
PoseNetwork: TypeAlias = SingleStageNetwork | TopDownNetwork


def build_network(settings: Network, keypoints: int, hidden: float | None = 0.001) -> PoseNetwork:
    """A network with initial weights.

    Args:
        settings: family and sizes.
        keypoints: the size of its skeleton; PoseBH's settings name those of its data sets.
        hidden: spread of hidden weights, the papers' by default; None leaves the framework's.
    """
    if isinstance(settings, TopDownSettings):
        return build_top_down(settings, keypoints, hidden)
    return build_single_stage(settings, keypoints, hidden)


def build_single_stage(
    settings: SingleStageSettings, keypoints: int, hidden: float | None = 0.001
) -> SingleStageNetwork:
    """BoIR or CID with initial weights; ``hidden`` is the spread of the heads' hidden weights."""
    backbone = build_backbone(settings.backbone)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and isinstance(settings.backbone, HRNetSettings):
            nn.init.normal_(module.weight, std=0.001)
    if isinstance(settings, CIDSettings):
        cid = CID(backbone, keypoints, settings.instance)
        initialise_cid(cid, hidden)
        return cid
    sizes = settings.model_dump(exclude={"family", "backbone"})
    boir = BoIR(backbone, keypoints, **sizes)
    initialise_boir(boir, hidden)
    return boir


def build_backbone(settings: HRNetSettings | LiteSettings | OpenPoseLightSettings) -> HRNet | Lite | OpenPoseLight:
    """A backbone of a single-stage network with the framework's initial weights."""
    if isinstance(settings, LiteSettings):
        return Lite()
    if isinstance(settings, OpenPoseLightSettings):
        return OpenPoseLight()
    return build_hrnet(settings)


def build_hrnet(settings: HRNetSettings, outputs: int = 4) -> HRNet:
    """An HRNet that gives so many branches."""
    return HRNet(settings.width, settings.modules, settings.blocks, settings.stem_blocks, outputs)


def build_top_down(settings: TopDownSettings, keypoints: int, hidden: float | None = 0.001) -> TopDownNetwork:
    """A network on crops with initial weights; ``hidden`` is the spread of hidden weights."""
    if isinstance(settings, ViTPoseSettings | PoseBHSettings):
        vitpose = _build_vitpose(settings, keypoints)
        if hidden is None:
            _initialise_as_framework(vitpose)
        return vitpose
    baseline: SimpleBaseline | HRNetPose
    if isinstance(settings.backbone, ResNetSettings):
        deconv = settings.deconv if isinstance(settings, SimpleBaselineSettings | MIPNetSettings) else 0
        baseline = SimpleBaseline(ResNet(settings.backbone.blocks), keypoints, deconv)
    elif isinstance(settings.backbone, LiteHRNetSettings):
        baseline = HRNetPose(LiteHRNet(settings.backbone.width, settings.backbone.modules), keypoints)
    else:
        baseline = HRNetPose(build_hrnet(settings.backbone, outputs=1), keypoints)
    if hidden is not None:
        initialise_baseline(baseline, hidden)
    if not isinstance(settings, MIPNetSettings):
        return baseline
    network = MIPNet(baseline, settings.sites, settings.instances, settings.gain)
    if hidden is not None:
        initialise_mipnet(network, hidden)
    return network


def _build_vitpose(settings: ViTPoseSettings | PoseBHSettings, keypoints: int) -> ViTPose | PoseBH:
    vit = build_vit(settings.backbone)
    if isinstance(settings, ViTPoseSettings):
        return ViTPose(vit, HeatmapHead(vit.channels, keypoints, settings.channels))
    datasets = [DataSet(one.name, len(one.skeleton["keypoints"])) for one in settings.datasets]
    return PoseBH(vit, datasets, settings.embedding, settings.prototypes, settings.channels)


def _initialise_as_framework(network: ViTPose | PoseBH) -> None:
    """Give the hidden layers after the backbone the framework's initial weights; those of the last ones stay small."""
    for name, module in network.named_modules():
        hidden = not name.startswith("backbone.") and not name.endswith("final_layer")
        if hidden and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()


def build_vit(settings: ViTSettings) -> ViT:
    """A vision transformer with its initial weights."""
    return ViT(**settings.model_dump(exclude={"kind"}))


def build_graph(network: PoseNetwork, config: ModelConfig) -> PoseGraph | TopDownGraph:
    """The network with preparation and decoding around it, ready to run."""
    flip_index = torch.from_numpy(config.read_skeleton().flip_index)
    if isinstance(network, SingleStageNetwork):
        inference = config.on_images
        return PoseGraph(
            network,
            flip_index,
            pool=inference.pool,
            colours=network.colours,
            decoder=inference.decoder,
            scoring=inference.scoring,
            search=inference.search,
        ).eval()
    if isinstance(network, PoseBH):
        raise EveryposeError(f"{config.name} has several skeletons: choose one")
    return TopDownGraph(network, flip_index, config.on_crops.decoder, config.on_crops.bgr).eval()
