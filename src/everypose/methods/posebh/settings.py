"""Settings of PoseBH's network and of the data sets that it learns from."""

from typing import Any, Literal

from everypose.backbones.settings import ViTSettings
from everypose.core.settings import Settings


class DataSetSettings(Settings):
    """One data set of a PoseBH: its name, its skeleton and how its crops are cut; see :class:`TopDownInference`."""

    name: str
    skeleton: dict[str, Any]
    convention: Literal["classic", "udp"] = "classic"
    crop: Literal["box", "mpii"] = "box"


def decoder_of(convention: Literal["classic", "udp"]) -> Literal["quarter", "udp"]:
    """How the heatmaps of a PoseBH are decoded, by the convention that a data set's crops are cut by."""
    return "udp" if convention == "udp" else "quarter"


class PoseBHSettings(Settings):
    """PoseBH, and ViTPose++ where ``embedding`` is 0; see :class:`everypose.methods.posebh.network.PoseBH`."""

    family: Literal["posebh"] = "posebh"
    backbone: ViTSettings = ViTSettings()
    datasets: tuple[DataSetSettings, ...] = ()
    embedding: int = 64
    prototypes: int = 3
    channels: int = 256
