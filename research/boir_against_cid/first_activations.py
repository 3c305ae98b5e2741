"""How much the activations before the last layers of CID and BoIR vary over an image before training.

    python -m research.boir_against_cid.first_activations TRUNK.safetensors train.json images PHOTO.jpg

Prints the standard deviation over pixels, a mean over channels, of what the center map and the instance heatmaps are
computed from, for a person in the middle of the photo.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.training.tasks.single_stage import SingleStageTask
from research.boir_against_cid.variants import VARIANTS, recipe_of

LAST = {"cid": "keypoints_and_center", "boir": "center.output"}
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
        if variant.name in LAST:
            recipe = recipe_of(variant, given.trunk, [(given.annotations, given.images)], seed=0, steps=1)
            network = SingleStageTask(recipe).make_network().train()
            images = normalize(pixels[None, :height, :width], network.normalization)
            center, heatmaps = (f"{value:.3f}" for value in variations(network, images, LAST[variant.name]))
            print(f"{variant.name}: center map {center}, instance heatmaps {heatmaps}")


@torch.inference_mode()
def variations(network: nn.Module, images: Tensor, center: str) -> tuple[float, float]:
    """The variation before the last layers of the center map, which is named, and of the instance heatmaps."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.append(inputs[0].std((-1, -2)).mean())

    feature = network.get_submodule("backbone")(images)
    network.get_submodule(center).register_forward_pre_hook(keep)
    network.center_map(feature)
    head = network.get_submodule("instance_head")
    head.get_submodule("heatmap").register_forward_pre_hook(keep)
    middle = torch.tensor([[side // 2 for side in feature.shape[-2:]]])
    head.logits_together(feature, torch.zeros(1, dtype=torch.long), middle)
    return seen[0].item(), seen[1].item()


if __name__ == "__main__":
    with exit_on_user_error("first_activations"):
        main()
