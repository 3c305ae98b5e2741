"""The instance head of CID and BoIR; subclasses differ in the norms."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.methods.single_stage.attention import (
    batched_instance_parameters,
    fold,
    fuse_attention,
    instance_parameters,
    keypoint_logits,
    spatial_response,
    split_fusion,
)
from everypose.methods.single_stage.people_in_turn import HeadInputs, people_logits, response_in_buckets


class InstanceEncoding(NamedTuple):
    """N people in each of B images, before their own maps are computed; see :func:`fuse_attention`.

    Attributes:
        shared: (B, C, h, w), the maps that all people of an image share.
        folded: (B, N, C, C), the channel half of the fusion with each person's channel attention.
        mask: (B N, 1, h, w), each person's spatial attention.

    >>> from everypose.methods.cid.network import GFD
    >>> head = GFD(inputs=32, channels=8, keypoints=17).eval()
    >>> people = head.encode_instances(torch.zeros(1, 32, 16, 12), torch.tensor([[[3, 4], [10, 5]]]))
    >>> people.shared.shape, people.folded.shape, people.mask.shape
    (torch.Size([1, 8, 16, 12]), torch.Size([1, 2, 8, 8]), torch.Size([2, 1, 16, 12]))
    """

    shared: Tensor
    folded: Tensor
    mask: Tensor


class Norm(NamedTuple):
    """A person's activation is ``relu((fused - shift) * factor)``.

    Attributes:
        shift: (B, N, C).
        factor: (B, N, C), above 0.

    >>> norm = Norm(shift=torch.tensor([[[1.0]]]), factor=torch.tensor([[[0.5]]]))
    >>> float(F.relu((torch.tensor([[[5.0]]]) - norm.shift) * norm.factor))
    2.0
    """

    shift: Tensor
    factor: Tensor


class AttentionHead(nn.Module, ABC):
    """A person's heatmaps from the shared feature and the vector at its center, by spatial and channel attention.

    Full-resolution search calls :meth:`batched_logits`. Coarse-to-fine search computes fewer pixels, in three steps:

    1. :meth:`encode_instances` computes the attention of each person.
    2. :meth:`coarse_logits` gives logits at every second pixel, and the norm of their activations.
    3. :meth:`logits_at_pixels` gives logits at the pixels around the coarse peaks.

    Args:
        inputs: D, channels of the feature.
        channels: C, channels of the head.
        keypoints: K.

    Attributes:
        epsilon: added to the variance by the instance normalization of the fused maps; None if they are not normalized.

    >>> from everypose.methods.cid.network import GFD
    >>> head = GFD(inputs=32, channels=8, keypoints=17).eval()
    >>> encoded = head.encode_instances(torch.zeros(1, 32, 16, 12), torch.zeros(1, 2, 2, dtype=torch.int64))
    >>> encoded.mask.shape  # of two people
    torch.Size([2, 1, 16, 12])
    """

    epsilon: ClassVar[float | None]

    def __init__(self, inputs: int, channels: int, keypoints: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, channels, 1)
        self.channel_attention = self.attention(inputs, channels)
        self.spatial_attention = self.attention(inputs, channels)
        self.spatial_conv = nn.Conv2d(3, 1, 5, padding=2)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)
        self.heatmap = nn.Conv2d(channels, keypoints, 1)

    @abstractmethod
    def attention(self, inputs: int, channels: int) -> nn.Module:
        """Make a layer from a person's vector (..., D) to one weight for each channel (..., C)."""

    @abstractmethod
    def mask(self, response: Tensor) -> Tensor:
        """Turn the spatial response (P, 1, h, w) into the mask of the spatial path, of the same shape."""

    @abstractmethod
    def activate(self, fused: Tensor) -> Tensor:
        """Normalize and activate the sum of both paths, (P, C, h, w), which has no bias yet."""

    @abstractmethod
    def norm(self, fused: Tensor) -> Norm:
        """Return the shift and factor that `activate` applies to (B, N, C, h w), for other pixels of the same people.

        `activate` does not use it, because normalization as a single operation is faster.
        """

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Compute keypoint logits of P people in any images, for training.

        Args:
            feature: (B, D, h, w), of the backbone.
            image_index: (P,), each person's image.
            yx: (P, 2), each person's center in output pixels.

        Returns:
            (P, K, h, w).
        """
        if feature.is_cpu and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling():
            return self.logits_in_turn(feature, image_index, yx)
        return self.logits_together(feature, image_index, yx)

    def logits_together(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Compute the logits of :meth:`forward` in few operators, for GPUs and compilers; nothing waits for values."""
        shared = self.down(feature)
        masked = self._spatial_projection(shared)[image_index]
        parameters = instance_parameters(feature, image_index, yx)
        people = self._encode(shared[image_index], parameters[:, None], yx[:, None])
        logits: Tensor = self.heatmap(self.activate(fuse_attention(people.shared, masked, people.folded, people.mask)))
        return logits

    def logits_in_turn(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Compute the logits of :meth:`forward` one person after the other, in a CPU's cache."""
        assert self.fuse.bias is not None
        assert self.heatmap.bias is not None
        height, width = feature.shape[-2:]
        # Pixels of a channel side by side, whatever the memory format of the backbone.
        shared = self.down(feature).contiguous()
        parameters = instance_parameters(feature, image_index, yx)
        weights = self.spatial_attention(parameters)
        response = response_in_buckets(shared, weights, self.spatial_conv, image_index, yx)
        mask = self.mask(torch.unflatten(response, 1, (1, height, width)))
        inputs = HeadInputs(
            shared=shared.flatten(2),
            masked=self._spatial_projection(shared).contiguous().flatten(2),
            folded=fold(split_fusion(self.fuse)[0], self.channel_attention(parameters)[:, None])[:, 0],
            mask=mask.flatten(1),
            shift=self.fuse.bias,
            weight=self.heatmap.weight.flatten(1),
            bias=self.heatmap.bias,
        )
        return torch.unflatten(people_logits(inputs, image_index.tolist(), self.epsilon), 2, (height, width))

    def batched_logits(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """Compute the same for N people in each of B images, with less memory traffic, for inference.

        Args:
            feature: (B, D, h, w), of the backbone.
            yx: (B, N, 2), centers in output pixels.
            order: (B, K), the keypoint of each output channel; that of a mirrored image differs.

        Returns:
            (B, N, K, h, w).
        """
        people = self.encode_instances(feature, yx)
        masked = self._spatial_projection(people.shared)
        maps = self.activate(fuse_attention(people.shared, masked, people.folded, people.mask))
        logits = keypoint_logits(torch.unflatten(maps.flatten(2), 0, (order.shape[0], -1)), *self._last_layer(order))
        return logits.reshape(*yx.shape[:2], order.shape[1], *feature.shape[-2:])

    def encode_instances(self, feature: Tensor, yx: Tensor) -> InstanceEncoding:
        """Compute the attention of N people in each of B images: (B, D, h, w) and centers (B, N, 2)."""
        return self._encode(self.down(feature), batched_instance_parameters(feature, yx), yx)

    def coarse_logits(self, people: InstanceEncoding, order: Tensor) -> tuple[Tensor, Norm]:
        """Compute logits (B, N, K, (h + 1) / 2, (w + 1) / 2) at every second pixel of every second row, and the norm.

        They equal those of `batched_logits`, except that the norm's mean and variance are of these pixels only.
        """
        # Pooling one pixel is one operation, where a slice of both axes is two in ONNX Runtime.
        shared, mask = (F.max_pool2d(maps, 1, stride=2) for maps in (people.shared, people.mask))
        fused = fuse_attention(shared, self._spatial_projection(shared), people.folded, mask)
        images, count = people.folded.shape[:2]
        fused = fused.reshape(images, count, fused.shape[1], -1)
        norm = self.norm(fused)
        weight, bias = self._last_layer(order, norm)
        logits = keypoint_logits((fused - norm.shift[..., None]).relu(), weight, bias)
        return logits.reshape(images, count, order.shape[1], *shared.shape[-2:]), norm

    def logits_at_pixels(self, people: InstanceEncoding, norm: Norm, order: Tensor, pixels: Tensor) -> Tensor:
        """Compute logits (B, N, K, T) of each keypoint of each person at T pixels of its own.

        Args:
            people: from :meth:`encode_instances`.
            norm: from :meth:`coarse_logits`.
            order: (B, K), the keypoint of each output channel.
            pixels: (B, N, K, T), row-major indices of output pixels.
        """
        images, count, keypoints, tile = pixels.shape
        height, width = people.shared.shape[-2:]
        first = torch.arange(images, device=pixels.device) * (height * width)
        rows = (pixels + first[:, None, None, None]).flatten()
        shared = torch.unflatten(people.shared.permute(0, 2, 3, 1).flatten(0, 2)[rows], 0, (images * count, -1))
        mask = people.mask.flatten(1).gather(1, pixels.flatten(0, 1).flatten(1))
        # The spatial projection of these pixels only: for up to about ten people they are fewer than the map has.
        masked = shared @ split_fusion(self.fuse)[1].T
        fused = shared @ people.folded.flatten(0, 1).transpose(1, 2) + masked * mask[..., None]
        maps = torch.unflatten((fused - norm.shift.flatten(0, 1)[:, None]).relu(), 1, (keypoints, tile))
        weight, bias = self._last_layer(order, norm)
        logits = (maps @ weight.flatten(0, 1)[..., None]).reshape(images, count, keypoints, tile)
        return logits + bias[:, None, :, None]

    def _last_layer(self, order: Tensor, norm: Norm | None = None) -> tuple[Tensor, Tensor]:
        """Return weights (B, N or 1, K, C), multiplied by the norm's factor, and biases (B, K)."""
        assert self.heatmap.bias is not None
        weight = self.heatmap.weight.flatten(1)[order][:, None]
        return weight if norm is None else weight * norm.factor[:, :, None], self.heatmap.bias[order]

    def _spatial_projection(self, shared: Tensor) -> Tensor:
        """Apply the spatial half of the fusion to the shared maps: (B, C, h, w) to the same shape."""
        return F.conv2d(shared, split_fusion(self.fuse)[1][:, :, None, None])

    def _encode(self, shared: Tensor, parameters: Tensor, yx: Tensor) -> InstanceEncoding:
        """Encode people with parameters (B, N, D) and centers (B, N, 2)."""
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, yx)
        folded = fold(split_fusion(self.fuse)[0], self.channel_attention(parameters))
        return InstanceEncoding(shared, folded, self.mask(response))
