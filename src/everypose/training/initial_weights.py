"""The network of a recipe and the weights that it starts from."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import everypose
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.pretrained.mae import fit_pretrained
from everypose.backbones.pretrained.trunks import read_trunk
from everypose.backbones.vit import ViT
from everypose.errors import EveryposeError, UsageError, as_user_error
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.transfer import transfer
from everypose.models.build import PoseNetwork, build_network
from everypose.models.buildable import require_finite
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint, read_state
from everypose.models.locate import resolve
from everypose.models.storage import load_model
from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe import Recipe
from everypose.training.sections import StartSection


def model_config(recipe: Recipe, skeleton: Skeleton) -> ModelConfig:
    """The configuration of the model that a recipe trains."""
    return ModelConfig(
        name=recipe.name or recipe.model.family,
        network=recipe.model,
        skeleton=skeleton.to_dict(),
        inference=recipe.inference,
        provenance={"recipe": recipe.name, "seed": recipe.trainer.seed, "everypose": everypose.__version__},
    )


def make_network(recipe: Recipe, keypoints: int) -> PoseNetwork:
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
    source: nn.Module = (import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path))[0]
    if isinstance(network, PoseBH):
        source = _for_its_sets(source, network, start)
    saved, own = source.state_dict(), network.state_dict()
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


def _for_its_sets(source: nn.Module, network: PoseBH, start: StartSection) -> nn.Module:
    """The source whose experts and heads are those of the data sets of ``network``: itself, or a transferred one.

    Raises:
        UsageError: the data sets are others, or a transfer is not from a PoseBH to one new set.
    """
    names = [own.name for own in network.datasets]
    known = [own.name for own in source.datasets] if isinstance(source, PoseBH) else []
    if start.transfer_like:
        if not isinstance(source, PoseBH) or len(names) > 1:
            raise UsageError("start.transfer_like goes from a PoseBH or ViTPose++ with all its experts to one new set")
        return transfer(source, network.datasets[0], start.transfer_like)
    if names != known:
        raise UsageError(
            f"{start.weights} has {len(known)} data sets ({', '.join(known) or 'it is no PoseBH'}), the recipe "
            f"{len(names)} ({', '.join(names)}): its experts and heads need the same sets in the same order; for one "
            "new set, give start.transfer_like"
        )
    return source


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fill what a backbone file has of the backbone; layers of its own, such as a classifier's, are not used.

    Raises:
        EveryposeError: the file cannot be read, or nothing in it fits.
    """
    if isinstance(backbone, OpenPoseLight) and path.suffix == ".npz":
        raise EveryposeError(
            f"{path}: Lightweight OpenPose as published has ELUs where everypose's trunk has ReLUs: fit it first with "
            "the repository's python -m research.boir_lite.lighten_trunk, and start from what that writes"
        )
    state = _read_tensors(path)
    if isinstance(backbone, ViT):
        state = fit_pretrained(state, backbone, path)
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
    with as_user_error(f"cannot read {path}"):
        state: dict[str, Tensor] = load_file(path)
    require_finite(state, str(path))
    return state
