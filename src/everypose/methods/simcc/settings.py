"""Settings of SimCC models, which are read from ONNX files of other projects."""

from typing import ClassVar, Literal

from everypose.backbones.settings import BackboneSettings
from everypose.methods.top_down.settings import TopDownNetworkSettings


class OnnxBackboneSettings(BackboneSettings):
    """A backbone of which only the ONNX graph is known."""

    kind: Literal["onnx"] = "onnx"
    step: ClassVar[int] = 1


class SimCCSettings(TopDownNetworkSettings):
    """A network whose ONNX file gives the scores of all x and y coordinates of each keypoint.

    >>> SimCCSettings().family
    'simcc'
    """

    family: Literal["simcc"] = "simcc"
    backbone: OnnxBackboneSettings = OnnxBackboneSettings()
