"""The configuration of a model, and where it is stored.

On disk a model is a folder with ``config.json`` and ``model.safetensors``, or one ``.onnx`` file that holds the same
configuration in its metadata under the key ``everypose``. Nothing here needs torch.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, model_validator

from everypose.core.files import read_json
from everypose.core.settings import Settings
from everypose.core.validation import validated
from everypose.errors import EveryposeError, UsageError
from everypose.methods.fixed_input.settings import FixedInputInference
from everypose.methods.posefix.settings import RefinementInference
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.settings import Inference, Network, require_fitting_inference
from everypose.skeleton.skeleton import Skeleton

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METADATA_KEY = "everypose"
INT8_KEY = "everypose.int8"
"""The metadata of an exported model that name the modules which become int8."""


def _read_skeleton(value: object) -> object:
    """Turn the fields of a skeleton into one."""
    if not isinstance(value, dict):
        return value
    try:
        return Skeleton.from_dict(value)
    except EveryposeError as error:
        raise ValueError(str(error).removeprefix("not a skeleton: ")) from error


SkeletonField = Annotated[InstanceOf[Skeleton], BeforeValidator(_read_skeleton), PlainSerializer(Skeleton.to_dict)]
"""A skeleton, written as a table of its fields."""


class ModelConfig(Settings):
    """Everything about a model except its weights.

    Attributes:
        format: version of this format.
        name: the model's name, for messages.
        network: the network's settings.
        skeleton: the skeleton of the keypoints that it finds; of a network with several, the first.
        inference: how it is run.
        provenance: where the weights come from.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco")).is_top_down
    False
    """

    format: Literal[1] = 1
    name: str
    network: Network
    skeleton: SkeletonField
    inference: Inference = SingleStageInference()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _inference_fits_the_family(self) -> Self:
        require_fitting_inference(self.network, self.inference)
        return self

    @property
    def is_top_down(self) -> bool:
        """Whether the model needs a box for each person; single-stage models find people by themselves."""
        return self.network.task in ("top-down", "mixture")

    @property
    def is_refiner(self) -> bool:
        """Whether the model refines the poses of another one, and finds no people."""
        return self.network.task == "refinement"

    @property
    def has_fixed_input(self) -> bool:
        """Whether the model takes whole images at one size, as RTMO and DETRPose do."""
        return self.network.task == "fixed-input"

    @property
    def on_fixed_input(self) -> FixedInputInference:
        """How a model that takes whole images at one size is run."""
        assert self.has_fixed_input, f"{self.name} takes images of any size, or crops"
        return cast(FixedInputInference, self.inference)

    @property
    def min_score(self) -> float:
        """The lowest score of a person that is reported."""
        assert not self.is_refiner, f"{self.name} finds no people"
        found = cast(SingleStageInference | TopDownInference | FixedInputInference, self.inference)
        return found.min_score

    @property
    def on_images(self) -> SingleStageInference:
        """How a single-stage model is run."""
        assert self.network.task == "single-stage", f"{self.name} works on crops"
        return cast(SingleStageInference, self.inference)

    @property
    def on_crops(self) -> TopDownInference:
        """How a top-down model is run."""
        assert self.is_top_down, f"{self.name} works on whole images, or refines poses"
        return cast(TopDownInference, self.inference)

    @property
    def on_poses(self) -> RefinementInference:
        """How a refinement model is run."""
        assert self.is_refiner, f"{self.name} finds people"
        return cast(RefinementInference, self.inference)

    def require_finds_people(self) -> None:
        """Check that the model finds people, and does not refine the poses of others.

        Raises:
            UsageError: if it is a refinement model.
        """
        if self.is_refiner:
            raise UsageError(
                f"{self.name} refines poses and finds no people: use everypose refine, or predict --refine {self.name} "
                "with a model that finds them"
            )

    def require_only(self, skeleton: str | None) -> None:
        """Check that ``skeleton`` is the only one that the model has; None is any.

        Raises:
            UsageError: if it is another one.
        """
        own = self.skeleton.name
        if skeleton not in (None, own):
            raise UsageError(f"{self.name} has one skeleton, {own}: it cannot give {skeleton!r}")


def read_config(path: Path) -> ModelConfig:
    """Read a model's configuration from its ``config.json``; raises EveryposeError if it is damaged.

    >>> import json
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> _ = Path(CONFIG_FILE).write_text(json.dumps(config.model_dump(mode="json")))
    >>> read_config(Path(CONFIG_FILE)).name
    'mine'
    """
    return parse_config(read_json(path), path)


def parse_config(values: Any, where: Path) -> ModelConfig:
    """Validate a configuration read from ``where``.

    Raises:
        EveryposeError: if it is not a configuration; names the first wrong field.

    >>> parse_config({"name": "mine"}, Path("config.json"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: config.json is not a model configuration of everypose: network: Field required
    """
    return validated(ModelConfig, values, f"{where} is not a model configuration of everypose")
