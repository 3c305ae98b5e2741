"""Settings of MIPNet's network."""

from typing import Annotated, Literal

from pydantic import Field

from everypose.backbones.settings import HRNetSettings, ResNetSettings
from everypose.core.settings import Settings


class MIPNetSettings(Settings):
    """MIPNet; see :class:`everypose.methods.mipnet.network.MIPNet`. ``deconv`` belongs to a ResNet."""

    family: Literal["mipnet"] = "mipnet"
    backbone: Annotated[HRNetSettings | ResNetSettings, Field(discriminator="kind")] = HRNetSettings()
    deconv: int = 256
    sites: tuple[bool, bool, bool, bool] = (False, False, True, True)
    instances: Annotated[int, Field(ge=1)] = 2
