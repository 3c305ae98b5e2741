"""A PoseBH with random weights for tests of models with several skeletons."""

import torch

from everypose.backbones.settings import ViTSettings
from everypose.methods.posebh.settings import DataSetSettings, PoseBHSettings
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

SETS = {"coco": "udp", "crowdpose": "classic", "mpii": "udp"}
SIZE = (48, 64)


def tiny(embedding=8, skeletons=None, nms=0.9):
    """A PoseBH with random weights, and heatmaps that differ from pixel to pixel."""
    chosen = skeletons or {name: Skeleton.named(name) for name in SETS}
    datasets = [
        DataSetSettings(name=name, skeleton=skeleton.to_dict(), convention=SETS.get(name, "classic"))
        for name, skeleton in chosen.items()
    ]
    vit = ViTSettings(width=12, depth=2, heads=2, image_size=SIZE, experts=len(datasets), expert_part=4)
    settings = PoseBHSettings(backbone=vit, datasets=datasets, embedding=embedding, channels=8)
    config = ModelConfig(
        name="mixed",
        network=settings,
        skeleton=datasets[0].skeleton,
        inference=TopDownInference(crop_size=SIZE, convention="udp", decoder="udp", nms=nms, min_score=0),
    )
    torch.manual_seed(0)
    network = build_network(settings, 17, initialization=Initialization.FRAMEWORK).eval()
    for head in network.heads:
        torch.nn.init.normal_(head.final_layer.weight, std=3)
    return network, config
