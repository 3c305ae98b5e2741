"""Saving a model as a folder and loading it."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from everypose.core.files import sha256, write_text, written_whole
from everypose.errors import EveryposeError, as_user_error
from everypose.models.build import build_network
from everypose.models.buildable import require_buildable, require_finite
from everypose.models.config import CONFIG_FILE, WEIGHTS_FILE, ModelConfig, read_config


def save_model(network: nn.Module, config: ModelConfig, folder: Path) -> ModelConfig:
    """Write ``config.json`` and ``model.safetensors``; the configuration then names the weights' SHA-256.

    The weights are written first; each file is written atomically.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> saved = save_model(build_network(settings, 17), config, Path("small"))
    >>> sorted(path.name for path in Path("small").iterdir()), len(saved.provenance["sha256"])
    (['config.json', 'model.safetensors'], 64)
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


def load_model(folder: Path) -> tuple[nn.Module, ModelConfig]:
    """Read a model that :func:`save_model` wrote.

    Raises:
        EveryposeError: if a file is missing or damaged, or tensors do not fit the configuration.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> saved = save_model(build_network(settings, 17), config, Path("small"))
    >>> network, loaded = load_model(Path("small"))
    >>> loaded == saved, network.training
    (True, False)
    """
    config = read_config(folder / CONFIG_FILE)
    weights = folder / WEIGHTS_FILE
    with as_user_error(f"cannot read {weights}"):
        state = load_file(weights)
    require_finite(state, str(weights))
    require_buildable(lambda: build_network(config.network, len(config.skeleton)), str(folder / CONFIG_FILE))
    network = build_network(config.network, len(config.skeleton))
    load_strictly(network, state, weights)
    return network.eval(), config


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], where: Path) -> None:
    """Load ``state`` into ``network``; every tensor must be there, fit and be known.

    Raises:
        EveryposeError: if tensors are missing, unexpected or of another shape; the message counts and names them.

    >>> load_strictly(nn.Linear(2, 1), {}, Path("model.safetensors"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: model.safetensors: tensors do not fit the network: 2 missing (weight, bias)
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
