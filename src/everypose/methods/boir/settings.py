"""Settings of BoIR's network."""

from typing import Annotated, Literal

from pydantic import Field

from everypose.backbones.settings import Backbone, HRNetSettings
from everypose.core.settings import Settings


class BoIRSettings(Settings):
    """BoIR; see :class:`everypose.methods.boir.network.BoIR`."""

    family: Literal["boir"] = "boir"
    backbone: Backbone = HRNetSettings()
    instance: int = 64
    neck_squeeze: Annotated[int, Field(ge=0)] = 0
    neck_branch: int = 128
    neck: int = 256
    head: int = 128
    embedding: int = 128
    auxiliary: bool = True
