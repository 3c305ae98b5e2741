"""The sizes of each backbone. Nothing here needs torch."""

from typing import Annotated, Literal

from pydantic import Field

from everypose.core.settings import Settings


class HRNetSettings(Settings):
    """HRNet; see :class:`everypose.backbones.hrnet.HRNet`."""

    kind: Literal["hrnet"] = "hrnet"
    width: int = 32
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    stem_blocks: int = 4


class LiteHRNetSettings(Settings):
    """Lite-HRNet; see :class:`everypose.backbones.lite_hrnet.LiteHRNet`."""

    kind: Literal["lite-hrnet"] = "lite-hrnet"
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 40
    modules: tuple[int, int, int] = (2, 4, 2)


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
