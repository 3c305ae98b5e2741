"""The torch-free description of HeatNet: its settings and where its network is."""

from typing import Literal

from everypose.methods.method import Method
from everypose.methods.top_down.settings import TopDownNetworkSettings, TopDownTraining
from own_method.backbone_settings import StridesSettings


class HeatNetSettings(TopDownNetworkSettings):
    """A backbone and a 1x1 convolution."""

    family: Literal["heatnet"] = "heatnet"
    backbone: StridesSettings = StridesSettings()


METHOD = Method(HeatNetSettings, TopDownTraining, "own_method.method:SPEC")
