"""The torch side of models: building a network from its settings, saving and loading it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from everypose.backbones.hrnet import HRNet
from everypose.backbones.lite import Lite
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.resnet import ResNet
from everypose.backbones.vit import ViT
from everypose.core.files import sha256, write_text, written_whole
from everypose.errors import EveryposeError
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.network import initialise as initialise_boir
from everypose.methods.cid.network import CID
from everypose.methods.cid.network import initialise as initialise_cid
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.mipnet.network import initialise as initialise_mipnet
from everypose.methods.posebh.network import DataSet, PoseBH, PrototypePose
from everypose.methods.posebh.union_skeleton import every_skeleton
from everypose.methods.single_stage.graph import PoseGraph
from everypose.methods.top_down.baselines import HRNetPose, SimpleBaseline
from everypose.methods.top_down.baselines import initialise as initialise_baseline
from everypose.methods.top_down.graph import TopDownGraph
from everypose.methods.vitpose.network import HeatmapHead, ViTPose
from everypose.models.config import ALL_SKELETONS, CONFIG_FILE, WEIGHTS_FILE, ModelConfig, read_config
from everypose.models.settings import (
    CIDSettings,
    HRNetSettings,
    LiteSettings,
    MIPNetSettings,
    Network,
    OpenPoseLightSettings,
    PoseBHSettings,
    ResNetSettings,
    SimpleBaselineSettings,
    SingleStageSettings,
    TopDownSettings,
    ViTPoseSettings,
    ViTSettings,
    decoder_of,
)
from everypose.skeleton.skeleton import Skeleton

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
    else:
        baseline = HRNetPose(build_hrnet(settings.backbone, outputs=1), keypoints)
    if hidden is not None:
        initialise_baseline(baseline, hidden)
    if not isinstance(settings, MIPNetSettings):
        return baseline
    network = MIPNet(baseline, settings.sites, settings.instances)
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


def select_skeleton(
    network: PoseNetwork, config: ModelConfig, name: str | None = None
) -> tuple[PoseNetwork, ModelConfig]:
    """The network and the configuration that give one skeleton's keypoints, of those that a PoseBH knows.

    Args:
        network: any; one with a single skeleton is returned as it is.
        config: its configuration.
        name: a data set of a PoseBH, by default its first: that set's head, expert, crops and decoder. Where its
            sigmas are unknown, nothing is left out as found twice. "all" finds the keypoints of all sets in one pass,
            by prototypes, from crops like those of the first.

    Raises:
        UsageError: there is no such data set, or, for "all", no prototypes.
        EveryposeError: for "all", a set's sigmas are unknown.
    """
    settings = config.network
    if not isinstance(network, PoseBH) or not isinstance(settings, PoseBHSettings):
        config.require_only(name)
        return network, config
    if name == ALL_SKELETONS:
        own = settings.datasets[0]
        selected: PoseNetwork = network.by_prototypes(own.name)
        skeletons = {one.name: Skeleton.from_dict(one.skeleton) for one in settings.datasets}
        skeleton = every_skeleton(skeletons, need_sigmas=config.on_crops.nms is not None)
        update: dict[str, Any] = {"skeleton": skeleton.to_dict()}
    else:
        own = settings.datasets[0 if name is None else network.index_of(name)]
        selected = network.merged(own.name)
        backbone = settings.backbone.model_copy(update={"experts": 0, "expert_part": 0})
        plain = ViTPoseSettings(backbone=backbone, channels=settings.channels)
        update = {"network": plain, "skeleton": own.skeleton}
    cut: dict[str, Any] = {"convention": own.convention, "decoder": decoder_of(own.convention), "crop": own.crop}
    if name != ALL_SKELETONS and not own.skeleton["sigmas"]:
        cut["nms"] = None
    return selected, config.model_copy(update=update | {"inference": config.on_crops.model_copy(update=cut)})


def save_model(network: nn.Module, config: ModelConfig, folder: Path) -> ModelConfig:
    """Write ``config.json`` and ``model.safetensors``; the configuration then names the weights' SHA-256.

    The weights are written first, each file whole or not at all.
    """
    weights = folder / WEIGHTS_FILE
    with written_whole(weights) as part:
        try:
            save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part)
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise EveryposeError(f"cannot write {weights}: {error}") from error
    provenance = {**config.provenance, "sha256": sha256(weights)}
    config = config.model_copy(update={"provenance": provenance})
    write_text(folder / CONFIG_FILE, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")
    return config


def load_model(folder: Path) -> tuple[PoseNetwork, ModelConfig]:
    """Read a model that :func:`save_model` wrote.

    Raises:
        EveryposeError: when a file is missing or damaged, or tensors do not fit the configuration.
    """
    config = read_config(folder / CONFIG_FILE)
    weights = folder / WEIGHTS_FILE
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise EveryposeError(f"cannot read {weights}: {error}") from error
    network = build_network(config.network, len(config.read_skeleton()))
    load_strictly(network, state, weights)
    return network.eval(), config


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], where: Path) -> None:
    """Load ``state`` into ``network``; every tensor must be there, fit and be known.

    Raises:
        EveryposeError: one line that counts and names what is missing, extra or of another shape.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in ((missing, "missing"), (extra, "not part of the network"), (misshapen, "of another shape"))
        if names
    ]
    if found:
        raise EveryposeError(f"{where}: tensors do not fit the network: {'; '.join(found)}")
    network.load_state_dict(dict(state))
