"""Estimates of a run before it starts: steps, memory and arithmetic, without running the network."""

import time
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from everypose.core.geometry import Size
from everypose.methods.method import NetworkSettings
from everypose.methods.top_down.graph import HeatmapNetwork
from everypose.models.build import build_network
from everypose.models.buildable import require_buildable
from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.preflight import check_batch
from everypose.training.recipe import MixtureRecipe, Recipe, RefinementRecipe, SingleStageRecipe, TopDownRecipe

BACKWARD = 2
"""The arithmetic of the backward pass, as a multiple of the forward pass."""
OPTIMIZER_COPIES = 3
"""Tensors of the size of the weights besides them: gradients and the two moments of Adam."""
INSTANCES = 5
"""Instances of an image that a single-stage network is estimated with, about the mean of crowded photos."""


@dataclass(frozen=True)
class Estimate:
    """What a training step needs on one device.

    Attributes:
        parameters: number of parameters.
        state_bytes: bytes of weights, gradients, optimizer and moving average.
        activation_bytes: bytes that the forward pass keeps for the backward pass, in float32.
        flops: floating-point operations of a step, forward and backward.

    >>> Estimate(parameters=1_000_000, state_bytes=16_000_000, activation_bytes=80_000_000, flops=3e9).parameters
    1000000
    """

    parameters: int
    state_bytes: int
    activation_bytes: int
    flops: float


def estimate_step(recipe: Recipe, keypoints: int, *, settings: NetworkSettings | None = None) -> Estimate:
    """Estimate a training step of the recipe's network, on tensors without memory.

    Args:
        recipe: the recipe.
        keypoints: number of keypoints of its skeleton, K.
        settings: the network's settings, if the data completes those of the recipe.

    Raises:
        EveryposeError: if the network's sizes do not fit one another.
        UsageError: if the network cannot train with one image a step.

    >>> from everypose.training.recipe_files import load_recipe
    >>> estimate_step(load_recipe("cid-small"), 17).parameters > 1_000_000
    True
    """
    build = partial(build_network, settings or recipe.model, keypoints)
    require_buildable(build, f"recipe {recipe.name or 'without name'}")
    with torch.device("meta"):
        network = build().train()
    check_batch(recipe, network)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = _forward(network, recipe, keypoints)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    del outputs
    copies = 1 + OPTIMIZER_COPIES + (recipe.ema.decay > 0)
    return Estimate(
        parameters=parameters,
        state_bytes=copies * 4 * parameters,
        activation_bytes=sum(size for storage, size in kept.items() if storage not in weights),
        flops=(1 + BACKWARD) * counter.get_total_flops() * recipe.trainer.accumulate,
    )


def count_steps(recipe: Recipe, samples: int) -> int:
    """Return the number of optimizer steps of a run on ``samples`` training samples, in one process.

    >>> from everypose.training.recipe_files import load_recipe
    >>> count_steps(load_recipe("cid-w32-coco"), 1000)
    7000
    """
    return LearningRateSchedule.of(recipe, samples, 1).steps


def measure_flops(seconds: float = 0.5) -> float:
    """Measure the floating-point operations a second that convolutions reach here: on the GPU if there is one.

    >>> measure_flops(seconds=0.001) > 1e6
    True
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layer = nn.Conv2d(64, 64, 3, padding=1, device=device)
    maps = torch.randn(2, 64, 128, 128, device=device)
    each = 2 * 64 * 64 * 9 * maps.shape[0] * 128 * 128
    with torch.inference_mode():
        layer(maps)
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            layer(maps).sum().item()
            count += 1
    return count * each / (time.perf_counter() - begun)


def _forward(network: nn.Module, recipe: Recipe, keypoints: int) -> object:
    """Call the network as its training does, on empty tensors of the current device."""
    batch = recipe.trainer.batch
    match recipe:
        case SingleStageRecipe():
            count = batch * INSTANCES
            images = torch.zeros(batch, 3, recipe.data.size, recipe.data.size)
            return network(images, torch.zeros(count, dtype=torch.long), torch.zeros(count, 2, dtype=torch.long))
        case TopDownRecipe():
            return cast(HeatmapNetwork, network).heatmaps(_crops(batch, recipe.inference.crop_size))
        case MixtureRecipe():
            # All samples are of the first data set: which expert they use hardly changes the sizes.
            return network(_crops(batch, recipe.inference.crop_size), torch.zeros(batch, dtype=torch.long))
        case RefinementRecipe():
            poses, given = torch.zeros(batch, keypoints, 2), torch.ones(batch, keypoints, dtype=torch.bool)
            return network(_crops(batch, recipe.inference.crop_size), poses, given)
    raise AssertionError(recipe)


def _crops(batch: int, size: Size) -> Tensor:
    """Return empty crops (batch, 3, H, W)."""
    return torch.zeros(batch, 3, size.height, size.width)
