"""Weights of a ViT pre-trained on square images (MAE: He et al., CVPR 2022) as initial weights of a ViT backbone."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.backbones.vit import PATCH, ViT, resized, spread_to_experts
from everypose.errors import EveryposeError


def fit_pretrained(state: Mapping[str, Tensor], backbone: ViT, where: Path) -> dict[str, Tensor]:
    """The tensors of a pre-training checkpoint that ``backbone`` has, under its names and in its shapes.

    A smaller patch kernel is padded with zeros, the position embedding is interpolated from the square grid, and with
    experts every one of them starts as the last rows of the dense layer. What only pre-training has is left out: its
    decoder, its class token, the norm after its last block.

    Args:
        state: an unwrapped state dict; an encoder inside a larger model has names that begin with ``encoder.``.
        backbone: what is to be initialized.
        where: the file, for the message.

    Raises:
        EveryposeError: if the checkpoint is not that of a ViT of this width and depth.

    >>> backbone = ViT(width=16, depth=1, heads=2, image_size=(48, 64))
    >>> state = backbone.state_dict() | {"cls_token": torch.zeros(1, 1, 16)}  # only pre-training has one
    >>> fitted = fit_pretrained(state | {"pos_embed": torch.zeros(1, 1 + 14 * 14, 16)}, backbone, Path("mae.pth"))
    >>> "cls_token" in fitted, fitted["pos_embed"].shape  # from 14 x 14 patches to 3 x 4
    (False, torch.Size([1, 13, 16]))
    """
    if any(name.startswith("encoder.") for name in state):
        state = {n.removeprefix("encoder."): value for n, value in state.items() if n.startswith("encoder.")}
    wanted = backbone.state_dict()
    found = {name: value for name, value in state.items() if name in wanted}
    if "pos_embed" in found:
        found["pos_embed"] = _fit_position(found["pos_embed"], backbone)
    if "patch_embed.proj.weight" in found:
        found["patch_embed.proj.weight"] = _pad_kernel(found["patch_embed.proj.weight"])
    if backbone.experts:
        found = spread_to_experts(found, backbone.experts, backbone.expert_part)
    blocks = [name for name in wanted if not name.startswith("last_norm.")]
    unfit = [name for name in blocks if name not in found or found[name].shape != wanted[name].shape]
    if unfit:
        raise EveryposeError(
            f"{where} is not a pre-trained ViT of width {backbone.channels} and {len(backbone.blocks)} blocks: "
            f"{len(unfit)} tensors are missing or of another shape ({', '.join(unfit[:3])})"
        )
    return found


def _fit_position(embedding: Tensor, backbone: ViT) -> Tensor:
    """(1, 1 + n, D) of a square grid to the backbone's grid; the first row stays."""
    side = math.isqrt(embedding.shape[1] - 1)
    if side * side != embedding.shape[1] - 1:
        return embedding
    return torch.cat([embedding[:, :1], resized(embedding[:, 1:], (side, side), backbone.grid)], dim=1)


def _pad_kernel(kernel: Tensor) -> Tensor:
    """(D, 3, k, k) to (D, 3, 16, 16), the old kernel in the middle."""
    missing = PATCH - kernel.shape[-1]
    before = missing // 2
    return F.pad(kernel, (before, missing - before, before, missing - before))
