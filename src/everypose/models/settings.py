"""The typed settings that describe a model: its network, by family, and how it is used on images or crops.

A recipe holds them to train by, a model's configuration (:class:`everypose.models.config.ModelConfig`) to be run by.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

SMALLEST_SIDE = 64
"""Of a single-stage model's input, in pixels: its maps have room for all peaks and for a coarse search's tiles."""
Step = Literal[16, 32, 64]
"""What the sides of a single-stage model's input may be multiples of, in pixels."""


class Settings(BaseModel):
    """Fields that cannot be changed, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HRNetSettings(Settings):
    """HRNet; see :class:`everypose.backbones.hrnet.HRNet`."""

    kind: Literal["hrnet"] = "hrnet"
    width: int = 32
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    stem_blocks: int = 4


class LiteSettings(Settings):
    """The small trunk of the default model; see :class:`everypose.backbones.lite.Lite`."""

    kind: Literal["lite"] = "lite"


class OpenPoseLightSettings(Settings):
    """Lightweight OpenPose's trunk; see :class:`everypose.backbones.openpose_light.OpenPoseLight`."""

    kind: Literal["openpose-light"] = "openpose-light"


class ResNetSettings(Settings):
    """ResNet; ``blocks`` of its four layers, (3, 4, 23, 3) for 101 and (3, 8, 36, 3) for 152."""

    kind: Literal["resnet"] = "resnet"
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)


class ViTSettings(Settings):
    """The plain vision transformer, base size; see :class:`everypose.backbones.vit.ViT`."""

    kind: Literal["vit"] = "vit"
    width: int = 768
    depth: int = 12
    heads: int = 12
    drop_path: float = 0.3
    image_size: tuple[int, int] = (192, 256)
    experts: int = 0
    expert_part: int = 0


Backbone = Annotated[HRNetSettings | LiteSettings | OpenPoseLightSettings, Field(discriminator="kind")]


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


class CIDSettings(Settings):
    """CID; see :class:`everypose.methods.cid.network.CID`."""

    family: Literal["cid"] = "cid"
    backbone: Backbone = HRNetSettings()
    instance: int = 32


class SimpleBaselineSettings(Settings):
    """SimpleBaseline; see :class:`everypose.methods.top_down.baselines.SimpleBaseline`."""

    family: Literal["simple-baseline"] = "simple-baseline"
    backbone: ResNetSettings = ResNetSettings()
    deconv: int = 256


class HRNetPoseSettings(Settings):
    """HRNet on crops; see :class:`everypose.methods.top_down.baselines.HRNetPose`."""

    family: Literal["hrnet"] = "hrnet"
    backbone: HRNetSettings = HRNetSettings()


class MIPNetSettings(Settings):
    """MIPNet; see :class:`everypose.methods.mipnet.network.MIPNet`. ``deconv`` belongs to a ResNet."""

    family: Literal["mipnet"] = "mipnet"
    backbone: Annotated[HRNetSettings | ResNetSettings, Field(discriminator="kind")] = HRNetSettings()
    deconv: int = 256
    sites: tuple[bool, bool, bool, bool] = (False, False, True, True)
    instances: Annotated[int, Field(ge=1)] = 2


class ViTPoseSettings(Settings):
    """ViTPose; see :class:`everypose.methods.vitpose.network.ViTPose`."""

    family: Literal["vitpose"] = "vitpose"
    backbone: ViTSettings = ViTSettings()
    channels: int = 256


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


SingleStageSettings = BoIRSettings | CIDSettings
TopDownSettings = SimpleBaselineSettings | HRNetPoseSettings | MIPNetSettings | ViTPoseSettings | PoseBHSettings
Network = Annotated[SingleStageSettings | TopDownSettings, Field(discriminator="family")]


class InferenceSettings(Settings):
    """How an image is prepared for a single-stage model and what is kept.

    ``size``: the short side of the network's input, in pixels; ``step``: what its sides are multiples of, in the
    published inference twice what HRNet's deepest branch needs; ``pool``: the window that smooths the maps;
    ``nms``: poses more alike than this OKS are one person; ``min_score``: people below are not shown; ``decoder``,
    ``scoring`` and ``search``: see :mod:`everypose.methods.single_stage.decoding`.
    """

    size: Annotated[int, Field(ge=SMALLEST_SIDE)] = 512
    step: Step = 64
    pool: Annotated[int, Field(gt=0)] = 3
    nms: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.05
    decoder: Literal["quarter", "parabola"] = "quarter"
    scoring: Literal["all", "found"] = "all"
    search: Literal["full", "coarse"] = "full"

    @model_validator(mode="after")
    def _size_is_in_steps(self) -> Self:
        if self.size % self.step:
            raise ValueError(f"size must be a multiple of {self.step}, not {self.size}")
        return self

    @field_validator("pool")
    @classmethod
    def _has_a_middle(cls, pool: int) -> int:
        if pool % 2 == 0:
            raise ValueError(f"pool must be odd, so that a window has a middle, not {pool}")
        return pool

    @model_validator(mode="after")
    def _a_tile_is_wide_enough(self) -> Self:
        if self.search == "coarse" and self.pool > 3:
            raise ValueError(
                f"a coarse search smooths by 3 pixels at most, not {self.pool}: give inference.search=full"
            )
        return self


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
    decoder: Literal["quarter", "dark", "udp"] = "quarter"
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


def _kind_of_inference(values: Any) -> str:
    """Which settings a table of inference holds: those for crops name a crop size."""
    named = values if isinstance(values, dict) else type(values).model_fields
    return "crops" if "crop_size" in named else "images"


Inference = Annotated[
    Annotated[InferenceSettings, Tag("images")] | Annotated[TopDownInference, Tag("crops")],
    Discriminator(_kind_of_inference),
]


def check_step(network: Network, inference: Inference) -> None:
    """Refuse steps of the input's sides that the backbone cannot take: Lightweight OpenPose needs 8 pixels, others 32.

    Raises:
        ValueError: they are too small.
    """
    kind = network.backbone.kind
    if isinstance(inference, InferenceSettings) and inference.step < 32 and kind != "openpose-light":
        raise ValueError(f"inference.step must be 32 at least with the backbone {kind}")
