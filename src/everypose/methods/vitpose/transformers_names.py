"""The names of ViTPose's and ViTPose++'s tensors in files of Hugging Face transformers, and their authors' names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from everypose.backbones.vit import merge_expert
from everypose.core.renaming import Renaming

_POSITION = "backbone.embeddings.position_embeddings"
_LAYER = re.compile(r"^backbone\.encoder\.layer\.(\d+)\.")
_QKV = re.compile(r"^(.*)\.attention\.attention\.query\.(weight|bias)$")
_COCO_EXPERT = 0
"""The expert of the only head that such files keep: ViTPose++'s first data set is COCO."""

_NAMES = Renaming(
    (
        (_POSITION, "backbone.pos_embed"),
        ("backbone.embeddings.patch_embeddings.projection.", "backbone.patch_embed.proj."),
        ("backbone.layernorm.", "backbone.last_norm."),
        ("head.deconv1.", "keypoint_head.deconv_layers.0."),
        ("head.batchnorm1.", "keypoint_head.deconv_layers.1."),
        ("head.deconv2.", "keypoint_head.deconv_layers.3."),
        ("head.batchnorm2.", "keypoint_head.deconv_layers.4."),
        ("head.conv.", "keypoint_head.final_layer."),
    )
)
_IN_LAYER = Renaming(
    (
        ("attention.output.dense.", "attn.proj."),
        ("layernorm_before.", "norm1."),
        ("layernorm_after.", "norm2."),
    )
)


def has_transformers_names(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of transformers' ``VitPoseForPoseEstimation``.

    >>> has_transformers_names({"backbone.embeddings.position_embeddings": torch.zeros(1)})
    True
    """
    return _POSITION in state


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename transformers' tensors to the authors' names, with the COCO expert merged.

    Query, key and value become one tensor. Files of ViTPose++ hold six experts but only the head of COCO, so the other
    experts have no use; where an expert's outputs begin is read from its tensors.

    Raises:
        KeyError: if the key or value of a block is missing; with its name.

    >>> attention = "backbone.encoder.layer.0.attention.attention."
    >>> state = {f"{attention}{part}.bias": torch.zeros(4) for part in ("query", "key", "value")}
    >>> {name: tuple(value.shape) for name, value in to_released(state).items()}
    {'backbone.blocks.0.attn.qkv.bias': (12,)}
    """
    renamed: dict[str, Tensor] = {}
    for name, value in _NAMES.to_everypose(state).items():
        if (query := _QKV.match(name)) is not None:
            block, kind = query.groups()
            parts = [state[f"{block}.attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            renamed[f"{_in_block(block + '.')}attn.qkv.{kind}"] = torch.cat(parts)
        elif ".attention.attention.key." not in name and ".attention.attention.value." not in name:
            renamed[_in_block(name)] = value
    has_experts = any(".mlp.experts." in name for name in renamed)
    return merge_expert(renamed, _COCO_EXPERT) if has_experts else renamed


def _in_block(name: str) -> str:
    """The authors' name of a block's tensor; other names are returned as they are."""
    found = _LAYER.match(name)
    if found is None:
        return name
    (rest,) = _IN_LAYER.to_everypose({name[found.end() :]: None})
    return f"backbone.blocks.{found[1]}.{rest}"
