"""Settings of ViTPose's network."""

from typing import Literal

from everypose.backbones.settings import ViTSettings
from everypose.core.settings import Settings


class ViTPoseSettings(Settings):
    """ViTPose; see :class:`everypose.methods.vitpose.network.ViTPose`."""

    family: Literal["vitpose"] = "vitpose"
    backbone: ViTSettings = ViTSettings()
    channels: int = 256
