"""What a model is, and where it lies: a model is a typed configuration with weights beside it.

On disk a model is a folder with ``config.json`` and ``model.safetensors``, or one ``.onnx`` file that carries the same
configuration in its metadata under the key ``everypose``. Nothing here needs torch.
"""

import difflib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from everypose.core.files import read_json
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.models.catalog import MODELS
from everypose.models.settings import (
    Inference,
    InferenceSettings,
    Network,
    Settings,
    TopDownInference,
    TopDownSettings,
    check_step,
)
from everypose.skeleton.skeleton import Skeleton

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METADATA_KEY = "everypose"
ALL_SKELETONS = "all"
"""What asks a PoseBH for the keypoints of all its data sets."""
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".pkl", ".bin", ".ckpt")


class ModelConfig(Settings):
    """Everything about a model but its weights; ``provenance`` says where those come from."""

    format: Literal[1] = 1
    name: str
    network: Network
    skeleton: dict[str, Any]
    inference: Inference = InferenceSettings()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _inference_fits_the_family(self) -> Self:
        if self.is_top_down != isinstance(self.inference, TopDownInference):
            wanted = "crops (crop_size)" if self.is_top_down else "whole images (size)"
            raise ValueError(f"the family {self.network.family} needs settings of inference for {wanted}")
        check_step(self.network, self.inference)
        return self

    @property
    def is_top_down(self) -> bool:
        """Whether the model needs boxes; others find people by themselves."""
        return isinstance(self.network, TopDownSettings)

    @property
    def on_images(self) -> InferenceSettings:
        """The settings of inference of a single-stage model."""
        assert isinstance(self.inference, InferenceSettings), f"{self.name} works on crops"
        return self.inference

    @property
    def on_crops(self) -> TopDownInference:
        """The settings of inference of a top-down model."""
        assert isinstance(self.inference, TopDownInference), f"{self.name} works on whole images"
        return self.inference

    def read_skeleton(self) -> Skeleton:
        """The skeleton that the model's keypoints follow."""
        return Skeleton.from_dict(self.skeleton)

    def require_only(self, skeleton: str | None) -> None:
        """See that ``skeleton``, where one is asked for, is the only one that the model has.

        Raises:
            UsageError: it is another one.
        """
        own = self.skeleton["name"]
        if skeleton not in (None, own):
            raise UsageError(f"{self.name} has one skeleton, {own}: it cannot give {skeleton!r}")


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies: an ``onnx`` file, a ``folder`` of ours, or an authors' ``checkpoint`` to import."""

    kind: Literal["onnx", "folder", "checkpoint"]
    path: Path


def bundled(name: str) -> Path:
    """The path of a weights file that comes with the package."""
    return Path(str(resources.files("everypose.models") / "weights" / name))


def resolve(source: str | Path) -> ModelFile:
    """Find a model by a known name, a folder, a file or a hub id (``owner/name``).

    Raises:
        UsageError: for a name that is not known, or whose weights do not come with the package.
        EveryposeError: for a path that holds no model.
    """
    path = Path(source)
    if path.exists():
        return _at(path)
    known = {model.name: model for model in MODELS}
    name = str(source)
    if name in known:
        if (file := known[name].file) is not None:
            return ModelFile("onnx", bundled(file))
        raise UsageError(
            f"the weights of {name} do not come with everypose: import the authors' checkpoint "
            f"(everypose import FILE -o {name}) or train it (everypose train {name}), then give the folder"
        )
    if path.suffix in (".onnx", ".safetensors", *CHECKPOINT_SUFFIXES) or name.startswith((".", "/", "~")):
        raise UsageError(f"there is no model at {source}")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _at(_from_hub(name))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(known)}"
    raise UsageError(f"there is no model named {name!r}, nor a file or folder of that name; {hint}")


def read_config(path: Path) -> ModelConfig:
    """Read a model's configuration from its ``config.json``."""
    return parse_config(read_json(path), path)


def parse_config(values: Any, where: Path) -> ModelConfig:
    """Validate a configuration read from ``where``."""
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EveryposeError(f"{where} is not a model configuration of everypose: {field}: {first['msg']}") from error


def _at(path: Path) -> ModelFile:
    """The model that lies at an existing path."""
    if path.is_dir():
        if (path / CONFIG_FILE).exists() and (path / WEIGHTS_FILE).exists():
            return ModelFile("folder", path)
        graphs = sorted(path.glob("*.onnx"))
        if len(graphs) == 1:
            return ModelFile("onnx", graphs[0])
        raise EveryposeError(f"{path} is not a model: it needs {CONFIG_FILE} and {WEIGHTS_FILE}, or one .onnx file")
    if path.suffix == ".onnx":
        return ModelFile("onnx", path)
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG_FILE).exists():
        return ModelFile("folder", path.parent)
    if path.suffix in CHECKPOINT_SUFFIXES:
        return ModelFile("checkpoint", path)
    raise EveryposeError(f"{path} is not a model: give a folder, an .onnx file or an authors' checkpoint (.pth)")


def _from_hub(name: str) -> Path:
    """Download a model folder from the Hugging Face hub."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingDependencyError(f"{name} is neither a known name nor a path; as a hub id it", "hub") from error
    try:
        patterns = [CONFIG_FILE, WEIGHTS_FILE, "*.onnx"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EveryposeError(f"there is no folder {name}, and as a hub id it cannot be downloaded: {reason}") from error
