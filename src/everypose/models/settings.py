"""The settings of any model: the union of all methods' network settings, and of the kinds of inference."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Field, Tag

from everypose.errors import EveryposeError
from everypose.methods import METHODS
from everypose.methods.fixed_input.settings import DetrPoseSettings, FixedInputInference, RtmoSettings
from everypose.methods.method import InferenceSettings, Method, NetworkSettings
from everypose.methods.posefix.settings import RefinementInference
from everypose.methods.simcc.settings import SimCCSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.methods.top_down.settings import TopDownInference
from everypose.methods.vitpose.settings import EasyViTPoseSettings

ONNX_ONLY = (SimCCSettings, RtmoSettings, DetrPoseSettings, EasyViTPoseSettings)
"""Settings of networks that exist in ONNX files only."""
if TYPE_CHECKING:
    Network = NetworkSettings
else:
    Network = Annotated[Union[(*(method.settings for method in METHODS), *ONNX_ONLY)], Field(discriminator="family")]


def _kind_of_inference(values: Any) -> str:
    """Return which settings a table of inference holds, by a field that only these have."""
    named = values if isinstance(values, dict) else getattr(type(values), "model_fields", {})
    if "pose_padding" in named:
        return "poses"
    if "input_size" in named:
        return "fixed-input"
    return "crops" if "crop_size" in named else "images"


Inference = Annotated[
    Annotated[SingleStageInference, Tag("images")]
    | Annotated[TopDownInference, Tag("crops")]
    | Annotated[RefinementInference, Tag("poses")]
    | Annotated[FixedInputInference, Tag("fixed-input")],
    Discriminator(_kind_of_inference),
]


_KINDS_OF_INFERENCE: tuple[type[InferenceSettings], ...] = (
    SingleStageInference,
    TopDownInference,
    RefinementInference,
    FixedInputInference,
)


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


def require_fitting_inference(network: NetworkSettings, inference: InferenceSettings) -> None:
    """Check that settings of inference are for the network's kind of input and its backbone.

    Raises:
        ValueError: if they are for another kind, or sizes are no multiples of what the backbone needs.

    >>> from everypose.methods.boir.settings import BoIRSettings
    >>> require_fitting_inference(BoIRSettings(), TopDownInference(crop_size=(192, 256)))
    Traceback (most recent call last):
        ...
    ValueError: the family boir needs size = PIXELS under [inference]
    """
    if network.task not in inference.tasks:
        wanted = next(kind for kind in _KINDS_OF_INFERENCE if network.task in kind.tasks)
        raise ValueError(f"the family {network.family} needs {wanted.example} under [inference]")
    if reason := inference.unfit(network.backbone):
        raise ValueError(reason)
