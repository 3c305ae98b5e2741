"""Literal implementations of the papers' formulas, which everypose is compared with."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Conv2d

from everypose.backbones.vit import Attention
from everypose.methods.boir import losses as boir_losses
from everypose.methods.boir import network as boir_network
from everypose.methods.boir.dilated_conv import DilatedConv2d
from everypose.methods.boir.instance_head import InstanceHead
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.single_stage.attention_head import AttentionHead
from everypose.methods.single_stage.losses import SMALLEST_PROBABILITY

BETA = 10.0
SMALLEST_SUPPORT = 1e-5


@contextmanager
def people_together() -> Iterator[None]:
    """Train inside this block as autograd does it: all people together, every intermediate value kept."""
    with (
        mock.patch.object(AttentionHead, "forward", AttentionHead.logits_together),
        mock.patch.object(DilatedConv2d, "forward", Conv2d.forward),
        mock.patch.object(boir_network, "probabilities", probabilities),
        mock.patch.object(boir_losses, "focal_loss", focal_loss),
    ):
        yield


def probabilities(logits: Tensor) -> Tensor:
    """A clamped sigmoid."""
    return logits.sigmoid().clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)


def focal_loss(predicted: Tensor, truth: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """CornerNet's focal loss, term by term; arguments as in the package."""
    positive = (truth == 1).float() * mask
    hit = predicted.log() * (1 - predicted) ** 2 * positive
    miss = (1 - predicted).log() * predicted**2 * (1 - truth) ** 4 * (mask - positive)
    return -(hit + miss).sum() / (positive.sum().clamp(min=1) if count is None else count)


class LiteralHead(InstanceHead):
    """BoIR's instance head: both paths for every person in full, concatenated, fused."""

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """(B, D, h, w), (P,), (P, 2) to (P, K, h, w)."""
        shared = self.down(feature)[image_index]
        parameters = feature[image_index, :, yx[:, 0], yx[:, 1]]
        channel_path = shared * self.channel_attention(parameters)[:, :, None, None]
        summed = (shared * self.spatial_attention(parameters)[:, :, None, None]).sum(1, keepdim=True)
        sides = (torch.arange(side, device=yx.device) for side in feature.shape[-2:])
        rows, columns = torch.meshgrid(*sides, indexing="ij")
        relative = torch.stack([yx[:, 1, None, None] - columns, yx[:, 0, None, None] - rows], dim=1) / 32
        mask = F.instance_norm(self.spatial_conv(torch.cat([summed, relative.to(summed)], dim=1)))
        fused = self.fuse(torch.cat([channel_path, shared * mask], dim=1))
        logits: Tensor = self.heatmap(F.relu(F.instance_norm(fused)))
        return logits

    def batched_logits(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """(B, D, h, w), (B, N, 2), (B, K) to (B, N, K, h, w)."""
        images, people = yx.shape[:2]
        image_index = torch.arange(images, device=yx.device).repeat_interleave(people)
        logits = self(feature, image_index, yx.flatten(0, 1))
        ordered = logits[torch.arange(len(logits), device=yx.device)[:, None], order[image_index]]
        heatmaps: Tensor = ordered.unflatten(0, (images, people))
        return heatmaps


class LiteralMIPNet(MIPNet):
    """MIPNet with a whole pass for each person of a crop, as its evaluation does."""

    def heatmaps(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N, K, H/4, W/4)."""
        return torch.cat([self.heatmaps_for(images, one[None]) for one in self.selectors], dim=1)


class LiteralAttention(Attention):
    """Attention as softmax(Q K^T) V."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same shape."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        y: Tensor = self.proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return y


def bbox_mask_loss(embedding: Tensor, boxes: Tensor, image_index: Tensor) -> Tensor:
    """BoIR's Bbox Mask Loss with the whole background, one person after the other; see the package's for arguments."""
    total = torch.zeros((), device=embedding.device)
    for image, unit in enumerate(F.normalize(embedding, dim=1)):
        height, width = unit.shape[1:]
        outside = torch.ones(height, width, dtype=torch.bool, device=unit.device)
        centers = []
        for x, y, w, h in boxes[image_index == image].tolist():
            left, right = (min(max(edge, 0), width - 1) for edge in (int(x) - 1, int(x + w) + 1))
            top, bottom = (min(max(edge, 0), height - 1) for edge in (int(y) - 1, int(y + h) + 1))
            if right - left < 2 or bottom - top < 2:
                continue
            column = min(max(math.floor(x + w / 2), 0), width - 1)
            row = min(max(math.floor(y + h / 2), 0), height - 1)
            outside[top:bottom, left:right] = False
            center = unit[:, row, column]
            total = total + pull(center, unit[:, top:bottom, left:right].flatten(1))
            centers.append(center)
        if centers and outside.any():
            centers.append(unit[:, outside].mean(1))
        total = total + push(centers)
    return total / max(len(boxes), 1)


def pull(center: Tensor, pixels: Tensor) -> Tensor:
    """Pull a center's embedding (E,) and the weighted mean of its box (E, n) together."""
    alike = torch.exp(-BETA * ((center[:, None] - pixels) ** 2).sum(0)).detach()
    alike = alike / max(alike.max().item(), 1.0)
    if alike.sum() < SMALLEST_SUPPORT:
        return torch.zeros((), device=center.device)
    mean = (pixels * alike).sum(1) / alike.sum()
    own = (center + mean) / 2
    return ((center - own) ** 2 + (mean - own) ** 2).mean()


def push(vectors: list[Tensor]) -> Tensor:
    """Push the vectors (E,) of an image apart, pair by pair."""
    if len(vectors) < 2:
        return torch.zeros(())
    pairs = [torch.exp(-BETA * ((a - b) ** 2).mean()) for a in vectors for b in vectors]
    return torch.stack(pairs).sum() * 0.5 / (len(vectors) - 1)
