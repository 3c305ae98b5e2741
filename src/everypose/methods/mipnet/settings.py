"""Settings of MIPNet's network."""

from typing import Annotated, Literal

from pydantic import Field

from everypose.backbones.settings import HRNetSettings, LiteHRNetSettings, ResNetSettings
from everypose.core.settings import Settings


class MIPNetSettings(Settings):
    """MIPNet; see :class:`everypose.methods.mipnet.network.MIPNet`. ``deconv`` belongs to a ResNet.

    ``gain``: factor of the modulation blocks' gates; 4 lets the blocks of a pretrained network start as the identity.
    """

    family: Literal["mipnet"] = "mipnet"
    backbone: Annotated[HRNetSettings | LiteHRNetSettings | ResNetSettings, Field(discriminator="kind")] = (
        HRNetSettings()
    )
    deconv: int = 256
    sites: tuple[bool, bool, bool, bool] = (False, False, True, True)
    instances: Annotated[int, Field(ge=1)] = 2
    gain: Annotated[float, Field(gt=0)] = 1.0
