"""Settings of the top-down baselines, and how any top-down model is run on crops."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from everypose.backbones.settings import HRNetSettings, LiteHRNetSettings, ResNetSettings
from everypose.core.settings import Settings


class SimpleBaselineSettings(Settings):
    """SimpleBaseline; see :class:`everypose.methods.top_down.baselines.SimpleBaseline`."""

    family: Literal["simple-baseline"] = "simple-baseline"
    backbone: ResNetSettings = ResNetSettings()
    deconv: int = 256


class HRNetPoseSettings(Settings):
    """HRNet on crops; see :class:`everypose.methods.top_down.baselines.HRNetPose`."""

    family: Literal["hrnet"] = "hrnet"
    backbone: Annotated[HRNetSettings | LiteHRNetSettings, Field(discriminator="kind")] = HRNetSettings()


class TopDownInference(Settings):
    """How a top-down model's crops are cut, its heatmaps decoded and its people scored.

    ``crop_size``: width, height of the network's input, in pixels; ``padding``, ``convention`` and ``crop``, its rule:
    see :class:`everypose.methods.top_down.crops.CropGeometry`; ``decoder``: see
    :func:`everypose.methods.top_down.decoding.decode`;
    ``bgr``: whether the network wants BGR; ``decay``: factor of the scores of people who are not the one whose box it
    is; ``nms``: poses more alike than this OKS are one person, None keeps all; ``soft_nms``: whether such poses only
    lose their turn (:func:`everypose.methods.top_down.scoring.soft_oks_nms`); ``min_score``: people below are not
    shown.
    """

    crop_size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    padding: Annotated[float, Field(gt=0)] = 1.25
    convention: Literal["classic", "udp"] = "classic"
    crop: Literal["box", "mpii"] = "box"
    decoder: Literal["quarter", "dark", "dark-3", "udp"] = "quarter"
    bgr: bool = False
    decay: Annotated[float, Field(ge=0, le=1)] = 0.5
    nms: Annotated[float, Field(gt=0, le=1)] | None = 0.9
    soft_nms: bool = False
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _decoder_fits_the_crops(self) -> Self:
        if (self.convention == "udp") != (self.decoder == "udp"):
            raise ValueError("the udp decoder goes with crops of the udp convention, and with no others")
        return self
