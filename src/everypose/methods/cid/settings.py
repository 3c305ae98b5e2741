"""Settings of CID's network."""

from typing import Literal

from everypose.backbones.settings import Backbone, HRNetSettings
from everypose.core.settings import Settings


class CIDSettings(Settings):
    """CID; see :class:`everypose.methods.cid.network.CID`."""

    family: Literal["cid"] = "cid"
    backbone: Backbone = HRNetSettings()
    instance: int = 32
