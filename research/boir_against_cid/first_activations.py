"""How much the activations before the last layer of CID's and BoIR's decoders vary over an image before training.

    python -m research.boir_against_cid.first_activations TRUNK.safetensors train.json images PHOTO.jpg

Prints their standard deviation over pixels, a mean over channels, for a person in the middle of the photo.
"""

import argparse
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.methods.single_stage.attention_head import AttentionHead
from everypose.training.tasks.single_stage import SingleStageTask
from research.boir_against_cid.variants import VARIANTS, recipe_of

NETWORKS = ("cid", "boir")
STEP = 8


def main() -> None:
    """Print one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("trunk", "annotations", "images", "photo"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    pixels = torch.from_numpy(read_image(given.photo))
    height, width = (side // STEP * STEP for side in pixels.shape[:2])
    for variant in VARIANTS:
        if variant.name in NETWORKS:
            recipe = recipe_of(variant, given.trunk, [(given.annotations, given.images)], seed=0, steps=1)
            network = SingleStageTask(recipe).make_network().train()
            images = normalize(pixels[None, :height, :width], OpenPoseLight.normalization)
            print(f"{variant.name}: {variation(network, images):.3f}")


@torch.inference_mode()
def variation(network: nn.Module, images: Tensor) -> float:
    """The variation of what the instance heatmaps are computed from, by one linear layer."""
    seen: list[Tensor] = []
    head = cast(AttentionHead, network.get_submodule("instance_head"))
    head.get_submodule("heatmap").register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    feature = network.get_submodule("backbone")(images)
    middle = torch.tensor([[side // 2 for side in feature.shape[-2:]]])
    head.logits_together(feature, torch.zeros(1, dtype=torch.long), middle)
    return float(seen[0].std((-1, -2)).mean())


if __name__ == "__main__":
    with exit_on_user_error("first_activations"):
        main()
