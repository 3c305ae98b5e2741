"""The settings of each backbone. Nothing here needs torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from everypose.core.plugins import entry_points_of
from everypose.core.settings import Channels, Count, PositiveInt, Probability, Repeats, Settings


class BackboneSettings(Settings):
    """Base of the settings of every backbone.

    Attributes:
        kind: the backbone's name in recipes and configurations; each subclass narrows it to one value.
        step: input widths and heights are multiples of this many pixels.
        predicts_offsets: whether it predicts the offset from each pixel to its person's center, see
            :mod:`everypose.methods.boir.offset_loss`.
        has_released_form: whether authors have released networks with it.
        fit_pretrained: ``module:function`` that fits the tensors of a pre-trained network to it, if they need that.
        refuses_archives: why the published NumPy archive of its weights cannot be loaded; empty if it can.
        builder: ``module:function`` that makes a :class:`everypose.backbones.backbone.Backbone` for single-stage
            methods from these settings; empty if these cannot use it. It is imported late, because it needs torch.
        crop_builder: the same for top-down methods and PoseFix.
        crop_stride: stride of the feature that ``crop_builder``'s network computes. With 4 it is a backbone of the
            families hrnet and mipnet, with 32 of simple-baseline and mipnet.
        has_steps: whether that network is a :class:`everypose.backbones.backbone.SteppedBackbone`, as MIPNet needs.

    Example:
        >>> LiteHRNetSettings(width=20).kind, LiteHRNetSettings.crop_stride
        ('lite-hrnet', 4)
    """

    kind: str
    step: ClassVar[int] = 32
    predicts_offsets: ClassVar[bool] = False
    has_released_form: ClassVar[bool] = False
    fit_pretrained: ClassVar[str | None] = None
    refuses_archives: ClassVar[str] = ""
    builder: ClassVar[str] = ""
    crop_builder: ClassVar[str] = ""
    crop_stride: ClassVar[Literal[4, 32]] = 4
    has_steps: ClassVar[bool] = False


class OnnxBackboneSettings(BackboneSettings):
    """A backbone of which only the ONNX graph is known: that of a model in a file of another project.

    >>> OnnxBackboneSettings().kind
    'onnx'
    """

    kind: Literal["onnx"] = "onnx"
    step: ClassVar[int] = 1


class HRNetSettings(BackboneSettings):
    """HRNet; see :class:`everypose.backbones.hrnet.HRNet`.

    Attributes:
        width: channels of the branch at stride 4.
        modules: number of modules in stages 2, 3 and 4.
        blocks: residual blocks in each branch of a module.
        stem_blocks: bottleneck blocks in stage 1.

    >>> HRNetSettings(width=48).modules
    (1, 4, 3)
    """

    kind: Literal["hrnet"] = "hrnet"
    has_released_form: ClassVar[bool] = True
    width: Channels = 32
    modules: tuple[Repeats, Repeats, Repeats] = (1, 4, 3)
    blocks: Repeats = 4
    stem_blocks: Repeats = 4
    builder: ClassVar[str] = "everypose.backbones.build:build_single_stage_hrnet"
    crop_builder: ClassVar[str] = "everypose.backbones.build:build_crop_hrnet"
    has_steps: ClassVar[bool] = True


class LiteHRNetSettings(BackboneSettings):
    """Lite-HRNet, for top-down methods; see :class:`everypose.backbones.lite_hrnet.LiteHRNet`.

    Attributes:
        width: channels of the branch at stride 4; a multiple of 4.
        modules: number of modules in stages 2, 3 and 4.

    >>> LiteHRNetSettings().has_steps
    True
    """

    kind: Literal["lite-hrnet"] = "lite-hrnet"
    crop_builder: ClassVar[str] = "everypose.backbones.build:build_lite_hrnet"
    has_steps: ClassVar[bool] = True
    width: Annotated[Channels, Field(multiple_of=4)] = 40
    modules: tuple[Repeats, Repeats, Repeats] = (2, 4, 2)


class LiteSettings(BackboneSettings):
    """A small mobile backbone; see :class:`everypose.backbones.lite.Lite`.

    >>> LiteSettings().kind
    'lite'
    """

    kind: Literal["lite"] = "lite"
    builder: ClassVar[str] = "everypose.backbones.build:build_lite"


class OpenPoseLightSettings(BackboneSettings):
    """Lightweight OpenPose's backbone; see :class:`everypose.backbones.openpose_light.OpenPoseLight`.

    >>> OpenPoseLightSettings.predicts_offsets
    True
    """

    kind: Literal["openpose-light"] = "openpose-light"
    step: ClassVar[int] = 8
    predicts_offsets: ClassVar[bool] = True
    refuses_archives: ClassVar[str] = (
        "Lightweight OpenPose as published has ELUs where everypose's trunk has ReLUs: fit it first with the "
        "repository's python -m research.boir_lite.lighten_trunk, and start from what that writes"
    )
    builder: ClassVar[str] = "everypose.backbones.build:build_openpose_light"


class ResNetSettings(BackboneSettings):
    """ResNet; see :class:`everypose.backbones.resnet.ResNet`.

    Attributes:
        blocks: bottleneck blocks of the four layers: (3, 4, 6, 3) for 50, (3, 4, 23, 3) for 101, (3, 8, 36, 3) for 152.

    >>> ResNetSettings(blocks=(3, 8, 36, 3)).crop_stride
    32
    """

    kind: Literal["resnet"] = "resnet"
    has_released_form: ClassVar[bool] = True
    crop_builder: ClassVar[str] = "everypose.backbones.build:build_resnet"
    crop_stride: ClassVar[Literal[4, 32]] = 32
    has_steps: ClassVar[bool] = True
    blocks: tuple[Repeats, Repeats, Repeats, Repeats] = (3, 4, 6, 3)


class ViTSettings(BackboneSettings):
    """The plain vision transformer, base size by default; see :class:`everypose.backbones.vit.ViT`.

    Attributes:
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads.
        drop_path: largest probability of skipping a block in training, reached in the last one.
        image_size: (width, height) of the input, in pixels.
        experts: number of data sets with an expert part in each block; 0 for a plain transformer.
        expert_part: channels of the second MLP layer that belong to the expert.

    >>> ViTSettings(width=384, depth=12).image_size
    (192, 256)
    """

    kind: Literal["vit"] = "vit"
    has_released_form: ClassVar[bool] = True
    width: Channels = 768
    depth: Repeats = 12
    heads: Repeats = 12
    drop_path: Probability = 0.3
    image_size: tuple[PositiveInt, PositiveInt] = (192, 256)
    experts: Count = 0
    expert_part: Count = 0
    step: ClassVar[int] = 16
    fit_pretrained: ClassVar[str | None] = "everypose.backbones.pretrained.mae:fit_pretrained"


BACKBONES_GROUP = "everypose.backbones"
"""The entry point group by which other packages add backbones: each entry is a `BackboneSettings` subclass."""


def _registered_backbones() -> tuple[type[BackboneSettings], ...]:
    """The settings that other packages register; an entry of another type is an error of that package."""
    found = entry_points_of(BACKBONES_GROUP)
    return tuple(one for one in found if isinstance(one, type) and issubclass(one, BackboneSettings))


BACKBONES: tuple[type[BackboneSettings], ...] = (
    HRNetSettings,
    LiteSettings,
    OpenPoseLightSettings,
    LiteHRNetSettings,
    ResNetSettings,
    ViTSettings,
    *_registered_backbones(),
)
"""All backbones: those of everypose, then those of other installed packages. Methods choose from this table."""


def _field_of(kinds: Sequence[type[BackboneSettings]]) -> object:
    """Return the type of a field that holds the settings of one of several backbones, by their ``kind``."""
    if len(kinds) == 1:
        return kinds[0]
    return Annotated[Union[tuple(kinds)], Field(discriminator="kind")]  # noqa: UP007


if TYPE_CHECKING:
    SingleStageBackbone = BackboneSettings
    HRNetPoseBackbone = BackboneSettings
    SimpleBaselineBackbone = BackboneSettings
    MIPNetBackbone = BackboneSettings
    PoseFixBackbone = BackboneSettings
else:
    _ON_CROPS = [one for one in BACKBONES if one.crop_builder]
    SingleStageBackbone = _field_of([one for one in BACKBONES if one.builder])
    HRNetPoseBackbone = _field_of([one for one in _ON_CROPS if one.crop_stride == 4])
    SimpleBaselineBackbone = _field_of([one for one in _ON_CROPS if one.crop_stride == 32])
    MIPNetBackbone = _field_of([one for one in _ON_CROPS if one.has_steps])
    PoseFixBackbone = _field_of(_ON_CROPS)
