"""Settings of SimCC models, which are read from ONNX files of other projects."""

from typing import Literal

from everypose.backbones.settings import OnnxBackboneSettings
from everypose.methods.top_down.settings import TopDownNetworkSettings


class SimCCSettings(TopDownNetworkSettings):
    """A network whose ONNX file gives the scores of all x and y coordinates of each keypoint.

    >>> SimCCSettings().family
    'simcc'
    """

    family: Literal["simcc"] = "simcc"
    backbone: OnnxBackboneSettings = OnnxBackboneSettings()
