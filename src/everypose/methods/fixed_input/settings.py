"""Settings of RTMO and DETRPose, which are read from ONNX files of other projects."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from everypose.backbones.settings import OnnxBackboneSettings
from everypose.core.geometry import Size
from everypose.core.settings import NoneWord, Probability
from everypose.methods.method import InferenceSettings, NetworkSettings, Task
from everypose.methods.top_down.settings import require_possible


class FixedInputInference(InferenceSettings):
    """How a model that takes whole images at one size is run.

    Attributes:
        input_size: width and height of the network's input, in pixels.
        fit: how an image is fitted into the input. ``corner`` keeps its aspect: it is scaled into the top left corner,
            the rest is gray. ``stretch`` scales width and height independently.
        nms: of two people whose boxes have a higher IoU than this, the one with the lower score is suppressed; None
            keeps all.
        min_score: people with a lower score are not reported.

    >>> FixedInputInference(input_size=(640, 640)).fit
    'corner'
    """

    tasks: ClassVar[tuple[Task, ...]] = ("fixed-input",)
    example: ClassVar[str] = "input_size = [WIDTH, HEIGHT]"

    input_size: Annotated[Size, AfterValidator(require_possible)]
    fit: Literal["corner", "stretch"] = "corner"
    nms: Annotated[Annotated[float, Field(gt=0, le=1)] | None, NoneWord] = None
    min_score: Probability = 0.05


class FixedInputNetworkSettings(NetworkSettings):
    """Base of the settings of a network in an ONNX file that takes whole images at one size.

    >>> issubclass(RtmoSettings, FixedInputNetworkSettings), RtmoSettings().task
    (True, 'fixed-input')
    """

    backbone: OnnxBackboneSettings = OnnxBackboneSettings()
    task: ClassVar[Task] = "fixed-input"


class RtmoSettings(FixedInputNetworkSettings):
    """RTMO (Lu et al., CVPR 2024); see :mod:`everypose.methods.fixed_input.rtmo`.

    >>> RtmoSettings().family
    'rtmo'
    """

    family: Literal["rtmo"] = "rtmo"


class DetrPoseSettings(FixedInputNetworkSettings):
    """DETRPose (Janampa and Pattichis, 2025); see :mod:`everypose.methods.fixed_input.detrpose`.

    >>> DetrPoseSettings().family
    'detrpose'
    """

    family: Literal["detrpose"] = "detrpose"
