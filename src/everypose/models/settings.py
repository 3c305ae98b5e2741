"""The settings of any model: the union of all methods' network settings, and of the kinds of inference."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Field, Tag

from everypose.core.settings import Settings
from everypose.errors import EveryposeError
from everypose.methods import METHODS
from everypose.methods.method import Method, NetworkSettings
from everypose.methods.posefix.settings import RefinementInference
from everypose.methods.simcc.settings import SimCCSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.methods.top_down.settings import CropInference, TopDownInference

if TYPE_CHECKING:
    Network = NetworkSettings
else:
    Network = Annotated[Union[(*(method.settings for method in METHODS), SimCCSettings)], Field(discriminator="family")]


def _kind_of_inference(values: Any) -> str:
    """Return which settings a table of inference holds: those for crops have a crop size, those for poses a padding."""
    named = values if isinstance(values, dict) else getattr(type(values), "model_fields", {})
    if "pose_padding" in named:
        return "poses"
    return "crops" if "crop_size" in named else "images"


Inference = Annotated[
    Annotated[SingleStageInference, Tag("images")]
    | Annotated[TopDownInference, Tag("crops")]
    | Annotated[RefinementInference, Tag("poses")],
    Discriminator(_kind_of_inference),
]


def method_of(settings: NetworkSettings) -> Method:
    """Return the method that a network belongs to.

    >>> from everypose.methods.boir.settings import BoIRSettings
    >>> method_of(BoIRSettings()).family
    'boir'

    Raises:
        EveryposeError: if it exists in ONNX files only.
    """
    for method in METHODS:
        if method.family == settings.family:
            return method
    raise EveryposeError(f"a network of the family {settings.family} exists in ONNX files only")


def require_fitting_inference(network: NetworkSettings, inference: Settings) -> None:
    """Check that settings of inference are for the network's kind of input and its backbone.

    Raises:
        ValueError: if they are for the other kind, or sizes are no multiples of what the backbone needs.
    """
    step, kind = network.backbone.step, network.backbone.kind
    if network.task == "single-stage":
        if not isinstance(inference, SingleStageInference):
            raise ValueError(f"the family {network.family} needs size = PIXELS under [inference]")
        if inference.step % step:
            raise ValueError(f"inference.step must be {step} at least with the backbone {kind}")
    elif network.task == "refinement":
        if not isinstance(inference, RefinementInference):
            raise ValueError(f"the family {network.family} needs pose_padding under [inference]")
    elif not isinstance(inference, CropInference):
        raise ValueError(f"the family {network.family} needs crop_size = [WIDTH, HEIGHT] under [inference]")
