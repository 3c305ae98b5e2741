"""The typed settings that describe a model: its network, by family, and how it is used on images or crops.

A recipe holds them to train by, a model's configuration (:class:`everypose.models.config.ModelConfig`) to be run by.
"""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.posebh.settings import PoseBHSettings
from everypose.methods.single_stage.settings import InferenceSettings
from everypose.methods.top_down.settings import HRNetPoseSettings, SimpleBaselineSettings, TopDownInference
from everypose.methods.vitpose.settings import ViTPoseSettings

SingleStageSettings = BoIRSettings | CIDSettings
TopDownSettings = SimpleBaselineSettings | HRNetPoseSettings | MIPNetSettings | ViTPoseSettings | PoseBHSettings
Network = Annotated[SingleStageSettings | TopDownSettings, Field(discriminator="family")]


def _kind_of_inference(values: Any) -> str:
    """Which settings a table of inference holds: those for crops name a crop size."""
    named = values if isinstance(values, dict) else getattr(type(values), "model_fields", {})
    return "crops" if "crop_size" in named else "images"


Inference = Annotated[
    Annotated[InferenceSettings, Tag("images")] | Annotated[TopDownInference, Tag("crops")],
    Discriminator(_kind_of_inference),
]


def check_step(network: Network, inference: Inference) -> None:
    """Refuse steps of the input's sides that the backbone cannot take: Lightweight OpenPose needs 8 pixels, others 32.

    Raises:
        ValueError: they are too small.
    """
    kind = network.backbone.kind
    if isinstance(inference, InferenceSettings) and inference.step < 32 and kind != "openpose-light":
        raise ValueError(f"inference.step must be 32 at least with the backbone {kind}")
