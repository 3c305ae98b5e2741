"""The released ViTPose, ViTPose++ and PoseBH checkpoints, whole or split: network sizes and parameter names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor

from everypose.backbones.settings import ViTSettings
from everypose.backbones.vit import PATCH, SIZES, merge_expert
from everypose.core.geometry import Size
from everypose.core.renaming import Renaming
from everypose.errors import EveryposeError, UsageError
from everypose.methods.checkpoint_sizes import count_parts as _count
from everypose.methods.method import NetworkSettings
from everypose.methods.spec import Imported
from everypose.methods.top_down.settings import TopDownInference
from everypose.methods.vitpose.released import crop_inference, skeleton_in_name
from everypose.methods.vitpose.settings import DecoderKind, ViTPoseSettings
from everypose.methods.vitpose.transformers_names import has_transformers_names, to_released
from everypose.skeleton.skeleton import Skeleton

SIX = ("coco", "aic", "mpii", "ap10k", "apt36k", "coco_wholebody")
DATASETS_OF_SIZES = {
    (21,): ("interhand2d",),
    (24,): ("pw3d",),
    (17, 14, 16): SIX[:3],
    (17, 14, 16, 133): (*SIX[:3], SIX[5]),
    (17, 14, 16, 17, 17, 133): SIX,
    (17, 14, 16, 17, 17, 133, 21, 24): (*SIX, "interhand2d", "pw3d"),
}
"""Whose heads a PoseBH or a ViTPose with several heads has, by their keypoints, as the authors trained them."""

AS_TRANSFORMERS = {"convention": "udp", "decoder": "udp-0.8"}
"""How transformers cuts crops and decodes heatmaps, whatever the skeleton."""

_BLOCK = "backbone.blocks.0.mlp."
_BANK = "proto_head.kpt_prototype.prototypes"
_CLUSTERS = "proto_head.cluster_prototype."
_OTHER_HEAD = "associate_keypoint_heads."


@dataclass(frozen=True)
class ReleasedLayout:
    """What a checkpoint holds.

    ``width``, ``depth``, ``heads``, ``image_size``, ``experts``, ``expert_part`` are the backbone's; ``keypoints`` of
    each heatmap head; ``channels`` inside a head; ``embedding`` and ``prototypes``, 0 without an embedding branch;
    ``decoder`` that turns the feature into heatmaps.

    >>> vitpose = ReleasedLayout(
    ...     width=384, depth=12, heads=12, image_size=(192, 256), experts=0, expert_part=0, keypoints=(17,),
    ...     channels=256, embedding=0, prototypes=0,
    ... )
    >>> vitpose.plain
    True
    """

    width: int
    depth: int
    heads: int
    image_size: tuple[int, int]
    experts: int
    expert_part: int
    keypoints: tuple[int, ...]
    channels: int
    embedding: int
    prototypes: int
    decoder: DecoderKind = "classic"

    @property
    def plain(self) -> bool:
        """Whether it is a :class:`~everypose.methods.vitpose.network.ViTPose`; a PoseBH otherwise."""
        return len(self.keypoints) == 1 and not self.experts and not self.embedding


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of a ViTPose, ViTPose++ or PoseBH.

    >>> recognizes({"backbone.pos_embed": None, "keypoint_head.final_layer.weight": None})
    True
    """
    if has_transformers_names(state):
        return True
    return "backbone.pos_embed" in state and any(name.startswith("keypoint_head.") for name in state)


def is_plain(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a plain ViTPose, or of a ViTPose that cannot be read.

    >>> is_plain({"conv1.weight": None, "final_layer.weight": None})
    False
    """
    if has_transformers_names(state):
        return True
    try:
        return recognizes(state) and read_layout(state, Path()).plain
    except (KeyError, IndexError, TypeError, EveryposeError):  # what reading it will report
        return recognizes(state)


def backbone_settings(layout: ReleasedLayout) -> ViTSettings:
    """Return the settings of the backbone of a checkpoint.

    >>> layout = ReleasedLayout(384, 12, 12, (192, 256), 0, 0, (17,), 256, 0, 0)
    >>> backbone_settings(layout).width
    384
    """
    return ViTSettings(
        width=layout.width,
        depth=layout.depth,
        heads=layout.heads,
        image_size=layout.image_size,
        experts=layout.experts,
        expert_part=layout.expert_part,
    )


def import_state(state: Mapping[str, Tensor], path: Path) -> Imported:
    """Read a plain ViTPose's settings and rename its parameters.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; with its name.
        EveryposeError: if it is a ViTPose of an unsupported kind.

    >>> from everypose.methods.vitpose.method import build
    >>> settings = ViTPoseSettings(backbone={"kind": "vit", "width": 384, "depth": 1, "heads": 12}, channels=4)
    >>> found = import_state(export_state(build(settings, keypoints=17).state_dict()), Path("vitpose-s.pth"))
    >>> found.keypoints, found.settings.backbone.width, found.settings.decoder
    (17, 384, 'classic')
    """
    from_transformers = has_transformers_names(state)
    if from_transformers:
        state = to_released(state)
    layout = read_layout(state, path)
    settings = ViTPoseSettings(backbone=backbone_settings(layout), channels=layout.channels, decoder=layout.decoder)
    keypoints = layout.keypoints[0]
    return Imported(
        settings,
        keypoints,
        to_everypose(state, layout),
        AS_TRANSFORMERS if from_transformers else {},
        skeleton_in_name(path, keypoints),
    )


def export_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a ViTPose, ViTPose++ or PoseBH to those of a released checkpoint.

    >>> list(export_state({"head.final_layer.bias": None, "backbone.pos_embed": None}))
    ['keypoint_head.final_layer.bias', 'backbone.pos_embed']
    """
    return renaming_of(_count(state, "heads.")).to_released(state)


def released_inference(settings: NetworkSettings, skeleton: Skeleton, _: tuple[int, int]) -> TopDownInference:
    """Return how the authors of ViTPose and PoseBH run a network; a ViT determines the size of its crops itself.

    >>> released_inference(ViTPoseSettings(), Skeleton.named("coco"), (0, 0)).crop_size
    Size(width=192, height=256)
    """
    return crop_inference(skeleton, Size(*cast(ViTSettings, settings.backbone).image_size))


def read_layout(state: Mapping[str, Tensor], where: Path) -> ReleasedLayout:
    """Read the sizes, experts, heads and their keypoints from the tensors.

    A file that the released tool has split still holds the experts as well as the layer that one of them was merged
    into, and the prototypes and heads of other data sets; these are unused and not counted.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing.
        EveryposeError: if the file is of a kind that is not known, or its experts do not match its heads.
        UsageError: if the number of attention heads is not known for this width.

    >>> from everypose.methods.vitpose.method import build
    >>> settings = ViTPoseSettings(backbone={"kind": "vit", "width": 384, "depth": 1, "heads": 12}, channels=4)
    >>> layout = read_layout(export_state(build(settings, keypoints=17).state_dict()), Path("vitpose-s.pth"))
    >>> layout.depth, layout.image_size, layout.keypoints
    (1, (192, 256), (17,))
    """
    decoder = _decoder_of(state, where)
    width = state["backbone.pos_embed"].shape[2]
    attention = {size.width: size.heads for size in SIZES.values()}
    if width not in attention:
        raise UsageError(f"{where} is a ViT of width {width}: sizes of ViTPose are {', '.join(map(str, attention))}")
    experts, merged = _count(state, f"{_BLOCK}experts."), len(state[f"{_BLOCK}fc2.bias"]) == width
    heads = 1 if experts and merged else 1 + _count(state, _OTHER_HEAD)
    experts = 0 if merged else experts
    if experts not in (0, heads):
        raise EveryposeError(f"{where} has {experts} experts but {heads} heatmap heads; there must be one for each")
    keypoints = tuple(len(state[f"{_head(index)}final_layer.weight"]) for index in range(heads))
    branch = _BANK in state and len(state[_BANK]) == sum(keypoints)
    return ReleasedLayout(
        width=width,
        depth=_count(state, "backbone.blocks."),
        heads=attention[width],
        image_size=_image_size(state["backbone.pos_embed"].shape[1] - 1, where),
        experts=experts,
        expert_part=len(state[f"{_BLOCK}experts.0.bias"]) if experts else 0,
        keypoints=keypoints,
        channels=state["keypoint_head.final_layer.weight"].shape[1],
        embedding=state[_BANK].shape[2] if branch else 0,
        prototypes=state[_BANK].shape[1] if branch else 0,
        decoder=decoder,
    )


def _decoder_of(state: Mapping[str, Tensor], where: Path) -> DecoderKind:
    """Which decoder the first head is: transposed convolutions, or one 3x3 convolution on the backbone's channels."""
    if "keypoint_head.deconv_layers.0.weight" in state:
        return "classic"
    final = state["keypoint_head.final_layer.weight"].shape
    if final[1:] == (state["backbone.pos_embed"].shape[2], 3, 3):
        return "simple"
    raise EveryposeError(
        f"{where} has another head than the classic decoder or the simple decoder of ViTPose, which is not supported"
    )


def to_everypose(state: Mapping[str, Tensor], layout: ReleasedLayout) -> dict[str, Tensor]:
    """The tensors that the network of ``layout`` has, under everypose's names; unknown ones stay, to be refused.

    The released clusters of prototypes are left out: they are made from the bank when they are needed.

    >>> layout = ReleasedLayout(384, 12, 12, (192, 256), 0, 0, (17,), 256, 0, 0)
    >>> released = {"keypoint_head.final_layer.bias": None, "associate_keypoint_heads.0.final_layer.bias": None}
    >>> list(to_everypose(released, layout))  # heads of other data sets are left out
    ['head.final_layer.bias']
    """
    unused = [_CLUSTERS]
    if not layout.embedding:
        unused.append("proto_head.")
    if len(layout.keypoints) == 1:
        unused.append(_OTHER_HEAD)
    kept = {
        name: value
        for name, value in state.items()
        if not name.startswith(tuple(unused)) and (layout.experts or ".mlp.experts." not in name)
    }
    return renaming_of(0 if layout.plain else len(layout.keypoints)).to_everypose(kept)


def renaming_of(heads: int) -> Renaming:
    """Map released to everypose prefixes: of a PoseBH with ``heads`` heatmap heads, or with 0 of a plain ViTPose.

    >>> renaming_of(0).to_everypose({"keypoint_head.final_layer.bias": None})
    {'head.final_layer.bias': None}
    >>> renaming_of(2).to_everypose({"associate_keypoint_heads.0.final_layer.bias": None})
    {'heads.1.final_layer.bias': None}
    """
    if not heads:
        return Renaming((("keypoint_head.", "head."),))
    pairs = tuple((_head(index), f"heads.{index}.") for index in range(heads))
    return Renaming((*pairs, (_BANK, "prototypes.bank"), ("proto_head.", "embedding.")))


def split(state: Mapping[str, Tensor], dataset: int) -> dict[str, Tensor]:
    """A whole checkpoint as that of the plain ViTPose of one of its data sets, under the authors' names.

    Raises:
        UsageError: if there is no such data set.

    >>> whole = {"backbone.pos_embed": None, "keypoint_head.final_layer.weight": None}
    >>> whole["associate_keypoint_heads.0.final_layer.weight"] = None
    >>> list(split(whole, dataset=1))  # that head becomes the one of a plain ViTPose
    ['backbone.pos_embed', 'keypoint_head.final_layer.weight']
    """
    head = _head(dataset)
    if f"{head}final_layer.weight" not in state:
        raise UsageError(f"the checkpoint has no heatmap head {dataset}")
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    if any(".mlp.experts." in name for name in backbone):
        backbone = merge_expert(backbone, dataset)
    own = {name.replace(head, _head(0), 1): value for name, value in state.items() if name.startswith(head)}
    return backbone | own


def _head(index: int) -> str:
    """The authors' prefix of a heatmap head."""
    return f"{_OTHER_HEAD}{index - 1}." if index else "keypoint_head."


def _image_size(positions: int, where: Path) -> tuple[int, int]:
    """Width and height of the crops: 3 to 4, the only aspect of the released files."""
    unit = math.isqrt(positions // 12)
    if 12 * unit * unit != positions:
        raise EveryposeError(f"{where} is made for images of another aspect than 3 to 4 ({positions} patches)")
    return (3 * unit * PATCH, 4 * unit * PATCH)
