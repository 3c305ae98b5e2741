"""The network of a recipe and the weights that it starts from."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import everypose
from everypose.boir.network import BoIR
from everypose.cid.network import CID
from everypose.errors import EveryposeError, UsageError
from everypose.models import ModelConfig, resolve
from everypose.networks import build_network, load_model
from everypose.released.checkpoints import import_checkpoint, read_state
from everypose.released.trunks import read_trunk
from everypose.skeleton import Skeleton
from everypose.training.recipe import Recipe, StartSection


def model_config(recipe: Recipe, skeleton: Skeleton) -> ModelConfig:
    """The configuration of the model that a recipe trains."""
    return ModelConfig(
        name=recipe.name or recipe.model.family,
        network=recipe.model,
        skeleton=skeleton.to_dict(),
        inference=recipe.inference,
        provenance={"recipe": recipe.name, "seed": recipe.trainer.seed, "everypose": everypose.__version__},
    )


def make_network(recipe: Recipe, keypoints: int) -> BoIR | CID:
    """The recipe's network with its initial weights, drawn from the recipe's seed where nothing else is given.

    Raises:
        EveryposeError: the weights to start from cannot be read or do not fit.
    """
    torch.manual_seed(recipe.trainer.seed)
    network = build_network(recipe.model, keypoints, 0.001 if recipe.start.heads == "paper" else None)
    if recipe.start.backbone:
        _load_backbone(network.backbone, Path(recipe.start.backbone))
    if recipe.start.weights:
        _load_weights(network, recipe.start)
    return network


def _load_weights(network: nn.Module, start: StartSection) -> None:
    """Fill the network from a whole model, but for what is to be initialised anew."""
    file = resolve(start.weights)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is an ONNX file; start.weights takes a model folder or an authors' checkpoint")
    saved = (import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path))[0].state_dict()
    own = network.state_dict()
    for prefix in start.reinitialise:
        if not any(name.startswith(prefix) for name in own):
            raise UsageError(f"start.reinitialise: the network has no parameter that begins with {prefix}")
    wanted = {name: value for name, value in own.items() if not name.startswith(start.reinitialise)}
    unfit = [name for name, value in wanted.items() if name not in saved or saved[name].shape != value.shape]
    if unfit:
        raise EveryposeError(
            f"{start.weights} does not fit the recipe's network: {len(unfit)} tensors are missing or of another shape "
            f"({', '.join(unfit[:3])}); layers that must differ belong into start.reinitialise"
        )
    network.load_state_dict(own | {name: saved[name] for name in wanted})


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fill what a backbone file has of the backbone; a classifier's own layers in it are not used.

    Raises:
        EveryposeError: the file cannot be read, or nothing in it fits.
    """
    state = _read_tensors(path)
    own = backbone.state_dict()
    state = {name.removeprefix("backbone."): value for name, value in state.items()}
    fitting = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    if not fitting:
        raise EveryposeError(f"{path} has no tensor that fits the backbone: is it made for another one?")
    backbone.load_state_dict(own | fitting)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        return read_trunk(path)
    if path.suffix != ".safetensors":
        return read_state(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise EveryposeError(f"cannot read {path}: {error}") from error
