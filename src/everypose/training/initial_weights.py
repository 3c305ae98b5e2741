"""The network of a recipe and the weights that it starts from."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from safetensors.torch import load_file
from torch import Tensor, nn

import everypose
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.backbones.pretrained.trunks import read_trunk
from everypose.core.plugins import load_reference
from everypose.errors import EveryposeError, UsageError, as_user_error
from everypose.methods.method import NetworkSettings
from everypose.methods.spec import Initialization, spec_of
from everypose.models.build import build_network
from everypose.models.buildable import require_finite
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint, read_state
from everypose.models.locate import resolve
from everypose.models.settings import Inference, method_of
from everypose.models.storage import load_model
from everypose.skeleton.skeleton import Skeleton
from everypose.training.process_setup import seed_torch
from everypose.training.recipe import Recipe
from everypose.training.sections import StartSection

FitPretrained: TypeAlias = Callable[[dict[str, Tensor], nn.Module, Path], dict[str, Tensor]]
"""State dict of a file, backbone and file -> the tensors that the backbone has, under its names and in its shapes."""


def model_config(
    recipe: Recipe,
    skeleton: Skeleton,
    *,
    network: NetworkSettings | None = None,
    inference: Inference | None = None,
) -> ModelConfig:
    """Return the configuration of the model that a recipe trains.

    Args:
        recipe: the recipe.
        skeleton: the skeleton of its keypoints.
        network: the network's settings, if the data completes those of the recipe.
        inference: how the network is run, if the data completes the recipe.

    >>> from everypose.training.recipe import parse_recipe
    >>> recipe = parse_recipe({"name": "mine", "model": {"family": "cid"}, "schedule": {"epochs": 2}})
    >>> config = model_config(recipe, Skeleton.named("coco"))
    >>> config.name, config.provenance["seed"]
    ('mine', 0)
    """
    return ModelConfig(
        name=recipe.name or recipe.model.family,
        network=network or recipe.model,
        skeleton=skeleton,
        inference=inference or recipe.inference,
        provenance={"recipe": recipe.name, "seed": recipe.trainer.seed, "everypose": everypose.__version__},
    )


def make_network(recipe: Recipe, keypoints: int, *, settings: NetworkSettings | None = None) -> nn.Module:
    """Make the recipe's network with its initial weights; those that are not loaded are drawn from the recipe's seed.

    Args:
        recipe: the recipe.
        keypoints: number of keypoints of its skeleton, K.
        settings: the network's settings, if the data completes those of the recipe.

    Raises:
        EveryposeError: if the weights to start from cannot be read or do not fit.

    >>> import torch
    >>> from everypose.training.recipe import parse_recipe
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> model = {"family": "cid", "backbone": backbone, "instance": 4}
    >>> recipe = parse_recipe({"model": model, "schedule": {"epochs": 2}})
    >>> network = make_network(recipe, keypoints=17)
    >>> other = make_network(recipe, keypoints=17)
    >>> torch.equal(network.instance_head.fuse.weight, other.instance_head.fuse.weight)  # drawn from the recipe's seed
    True
    """
    seed_torch(recipe.trainer.seed)
    settings = settings or recipe.model
    network = build_network(settings, keypoints, initialization=Initialization(recipe.start.heads))
    if recipe.start.backbone:
        backbone = network.backbone
        assert isinstance(backbone, nn.Module)
        _load_backbone(backbone, settings, Path(recipe.start.backbone))
    if recipe.start.weights:
        _load_weights(network, settings, recipe.start)
    return network


def _load_weights(network: nn.Module, settings: NetworkSettings, start: StartSection) -> None:
    """Load the weights of a whole model, except the layers in ``start.reinitialize``."""
    # Published downloads are smaller than what recipes start from: ViTPose++ there has one of its six heads.
    file = resolve(start.weights, download=False)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is an ONNX file; start.weights takes a model folder or an authors' checkpoint")
    source: nn.Module = (import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path))[0]
    adapt = spec_of(method_of(settings)).adapt_source
    if adapt is not None:
        source = adapt(source, network, start.weights, getattr(start, "transfer_like", ""))
    saved, own = source.state_dict(), network.state_dict()
    for prefix in start.reinitialize:
        if not any(name.startswith(prefix) for name in own):
            raise UsageError(f"start.reinitialize: the network has no parameter that begins with {prefix}")
    wanted = {name: value for name, value in own.items() if not name.startswith(start.reinitialize)}
    unfit = [name for name, value in wanted.items() if name not in saved or saved[name].shape != value.shape]
    if unfit:
        raise EveryposeError(
            f"{start.weights} does not fit the recipe's network: {len(unfit)} tensors are missing or of another shape "
            f"({', '.join(unfit[:3])}); {_advice(start, unfit, list(wanted))}"
        )
    network.load_state_dict(own | {name: saved[name] for name in wanted})


def _advice(start: StartSection, unfit: Sequence[str], wanted: Sequence[str]) -> str:
    """The override that leaves out the layers that do not fit, if others do."""
    if len(unfit) == len(wanted):
        return "nothing of it fits: is it a model of this family?"
    prefixes = reinitialize_prefixes(unfit, wanted)
    override = f"start.reinitialize={json.dumps([*start.reinitialize, *prefixes])}"
    return f"to initialize these layers instead, add --set {shlex.quote(override)}"


def reinitialize_prefixes(unfit: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the shortest prefixes, at dots, that cover the parameters that do not fit, and no others.

    >>> reinitialize_prefixes(["head.weight", "head.bias"], ["head.weight", "head.bias", "backbone.conv1.weight"])
    ['head.']
    """
    fitting = sorted(set(wanted) - set(unfit))
    prefixes: list[str] = []
    for name in unfit:
        if name.startswith(tuple(prefixes)):
            continue
        parts = name.split(".")
        starts = (".".join(parts[:length]) + "." for length in range(1, len(parts)))
        prefixes.append(next((s for s in starts if not any(other.startswith(s) for other in fitting)), name))
    return prefixes


def _load_backbone(backbone: nn.Module, network: NetworkSettings, path: Path) -> None:
    """Fill the tensors of the backbone that a file has; other layers of the file, such as a classifier's, are ignored.

    Raises:
        EveryposeError: if the file cannot be read, or none of its tensors fits.
    """
    settings = network.backbone
    if path.suffix == ".npz" and settings.refuses_archives:
        raise EveryposeError(f"{path}: {settings.refuses_archives}")
    state = _read_tensors(path)
    if settings.fit_pretrained is not None:
        fit = cast(FitPretrained, load_reference(settings.fit_pretrained))
        state = fit(state, backbone, path)
    own = backbone.state_dict()
    state = {name.removeprefix("backbone."): value for name, value in state.items()}
    if (fit_backbone := spec_of(method_of(network)).fit_backbone) is not None:
        state = fit_backbone(state, backbone)
    fitting = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    if not fitting:
        raise EveryposeError(f"{path} has no tensor that fits the backbone: is it made for another one?")
    backbone.load_state_dict(own | fitting)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        return read_trunk(path)
    if path.suffix == ".onnx":
        return read_tinypose(path)
    if path.suffix != ".safetensors":
        return read_state(path)
    with as_user_error(f"cannot read {path}"):
        state: dict[str, Tensor] = load_file(path)
    require_finite(state, str(path))
    return state
