"""Networks and their graphs from a model's settings."""

from typing import cast

import torch
from torch import nn

from everypose.errors import EveryposeError
from everypose.methods.method import NetworkSettings
from everypose.methods.posefix.graph import RefinementGraph, RefinementNetwork
from everypose.methods.single_stage.graph import SingleStageGraph, SingleStageNetwork
from everypose.methods.spec import Initialization, spec_of
from everypose.methods.top_down.graph import HeatmapNetwork, TopDownGraph
from everypose.models.config import ModelConfig
from everypose.models.settings import method_of


def build_network(
    settings: NetworkSettings, keypoints: int, *, initialization: Initialization = Initialization.PAPER
) -> nn.Module:
    """Make a network with initial weights.

    Args:
        settings: family and sizes.
        keypoints: number of keypoints of its skeleton, K; PoseBH's settings hold those of its data sets.
        initialization: of the layers after the backbone.

    >>> from everypose.backbones.settings import LiteSettings
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> type(build_network(CIDSettings(backbone=LiteSettings()), 17)).__name__
    'CID'
    """
    spec = spec_of(method_of(settings))
    network = spec.build(settings, keypoints)
    spec.initialize(network, initialization)
    return network


def build_graph(network: nn.Module, config: ModelConfig) -> SingleStageGraph | TopDownGraph | RefinementGraph:
    """Put normalization, flip test and decoding around a network, in evaluation mode.

    Raises:
        EveryposeError: if the network has several skeletons, of which one must be chosen first.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> graph = build_graph(build_network(settings, 17), config)
    >>> type(graph).__name__, graph.training
    ('SingleStageGraph', False)
    """
    flip_index = torch.from_numpy(config.skeleton.flip_index)
    if config.is_top_down:
        if not isinstance(network, HeatmapNetwork):
            raise EveryposeError(f"{config.name} has several skeletons: choose one")
        decoder = config.on_crops.decoder
        if decoder == "simcc":
            raise EveryposeError(f"{config.name} has the decoder simcc, which is not for heatmaps: choose another one")
        return TopDownGraph(network, flip_index, decoder, config.on_crops.bgr).eval()
    if config.is_refiner:
        assert isinstance(network, RefinementNetwork)
        return RefinementGraph(network, flip_index).eval()
    single_stage, inference = cast(SingleStageNetwork, network), config.on_images
    return SingleStageGraph(
        single_stage,
        flip_index,
        pool=inference.pool,
        normalization=single_stage.normalization,
        decoder=inference.decoder,
        scoring=inference.scoring,
        search=inference.search,
    ).eval()
