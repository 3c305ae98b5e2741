"""What a model is, and where it lies: a model is a typed configuration with weights beside it.

On disk a model is a folder with ``config.json`` and ``model.safetensors``, or one ``.onnx`` file that carries the same
configuration in its metadata under the key ``everypose``. Nothing here needs torch.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from everypose.core.files import read_json
from everypose.core.settings import Settings
from everypose.errors import EveryposeError, UsageError
from everypose.methods.single_stage.settings import InferenceSettings
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.settings import Inference, Network, TopDownSettings, check_step
from everypose.skeleton.skeleton import Skeleton

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METADATA_KEY = "everypose"
ALL_SKELETONS = "all"
"""What asks a PoseBH for the keypoints of all its data sets."""


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
