"""Settings of ViTPose, and what everypose must know of it. Nothing here needs torch."""

from typing import Literal

from everypose.backbones.settings import ViTSettings
from everypose.methods.method import Method
from everypose.methods.top_down.settings import TopDownNetworkSettings, TopDownTraining


class ViTPoseSettings(TopDownNetworkSettings):
    """ViTPose; see :class:`everypose.methods.vitpose.network.ViTPose`.

    Attributes:
        channels: channels of the head's transposed convolutions.
    """

    family: Literal["vitpose"] = "vitpose"
    backbone: ViTSettings = ViTSettings()
    channels: int = 256


METHOD = Method(ViTPoseSettings, TopDownTraining, "everypose.methods.vitpose.method:SPEC")
