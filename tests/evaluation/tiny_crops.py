"""Tiny networks with random weights."""

import torch

from everypose.methods.spec import Initialization
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
NARROW = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}


def tiny(family="mipnet", seed=0, **settings):
    """A network with random weights and its configuration."""
    size = {"size": 64} if family == "boir" else {"crop_size": [64, 96]}
    inference = size | settings.pop("inference", {})
    config = ModelConfig(
        name=f"tiny {family}",
        network={"family": family, "backbone": NARROW, **settings},
        skeleton=COCO.to_dict(),
        inference=inference,
    )
    torch.manual_seed(seed)
    network = build_network(config.network, len(COCO), initialization=Initialization.FRAMEWORK).eval()
    # With these the peaks are not at the border and the confidences above 0.2, where scores come from.
    if family != "boir":
        with torch.no_grad():
            network.head.bias.fill_(0.5)
    return network, config


def tiny_folder(folder, **settings):
    network, config = tiny(**settings)
    save_model(network, config, folder)
    return str(folder)
