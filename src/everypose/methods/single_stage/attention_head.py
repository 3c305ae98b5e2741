"""The instance head that CID and BoIR share; its norm layers are left to the subclasses."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.methods.single_stage.attention import (
    fold,
    fuse_attention,
    instance_parameters,
    keypoint_logits,
    parameters_of_all,
    spatial_response,
    split_fusion,
)


class Attended(NamedTuple):
    """What is known of N people in each of B images before their own maps are made; see :func:`fuse_attention`.

    ``shared`` (B, C, h, w), ``folded`` (B, N, C, C), ``mask`` (B N, 1, h, w).
    """

    shared: Tensor
    folded: Tensor
    mask: Tensor


class Norm(NamedTuple):
    """A person's activation is ``relu((fused - shift) * factor)``; both (B, N, C), ``factor`` above 0."""

    shift: Tensor
    factor: Tensor


class AttentionHead(nn.Module, ABC):
    """A person's heatmaps from the shared feature and the vector at its centre, by spatial and channel attention.

    Args:
        inputs: D, channels of the feature.
        channels: C, channels of the head.
        keypoints: K.
    """

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
        """A layer from a person's vector to one weight a channel."""

    @abstractmethod
    def mask(self, response: Tensor) -> Tensor:
        """(P, 1, h, w), where a person may be, as the mask of the spatial path."""

    @abstractmethod
    def activate(self, fused: Tensor) -> Tensor:
        """(P, C, h, w), both paths' sum without the fusion's bias, as what the heatmaps are read off."""

    @abstractmethod
    def norm(self, fused: Tensor) -> Norm:
        """The shift and factor that `activate` applies to (B, N, C, h w), for other pixels of the same people.

        Separate from `activate`, whose fused norm operation is faster but does not return its shift and factor.
        """

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Keypoint logits of P people, spread over the images as they come: for training.

        Args:
            feature: (B, D, h, w), the backbone's.
            image_index: (P,), each person's image.
            yx: (P, 2), each person's centre in output pixels.

        Returns:
            (P, K, h, w).
        """
        shared = self.down(feature)
        masked = self._let_through(shared)[image_index]
        parameters = instance_parameters(feature, image_index, yx)
        people = self._attend(shared[image_index], parameters[:, None], yx[:, None])
        logits: Tensor = self.heatmap(self.activate(fuse_attention(people.shared, masked, people.folded, people.mask)))
        return logits

    def of_all(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """The same for N people in each of B images: less memory to go through, for inference.

        Args:
            feature: (B, D, h, w), the backbone's.
            yx: (B, N, 2), centres in output pixels.
            order: (B, K), which keypoint each map of an image's people shows.

        Returns:
            (B, N, K, h, w).
        """
        people = self.attend(feature, yx)
        masked = self._let_through(people.shared)
        maps = self.activate(fuse_attention(people.shared, masked, people.folded, people.mask))
        logits = keypoint_logits(torch.unflatten(maps.flatten(2), 0, (order.shape[0], -1)), *self._last_layer(order))
        return logits.reshape(*yx.shape[:2], order.shape[1], *feature.shape[-2:])

    def attend(self, feature: Tensor, yx: Tensor) -> Attended:
        """Encode the people without decoding heatmaps: input of `at_every_second` and `at`."""
        return self._attend(self.down(feature), parameters_of_all(feature, yx), yx)

    def at_every_second(self, people: Attended, order: Tensor) -> tuple[Tensor, Norm]:
        """Logits (B, N, K, (h + 1) / 2, (w + 1) / 2) at every second pixel of every second row, and their norm.

        The values of `of_all` at these pixels, except that the norm's mean and variance are over these pixels only.
        """
        # Pooling one pixel is one operation, where a slice of both axes is two in ONNX Runtime.
        shared, mask = (F.max_pool2d(maps, 1, stride=2) for maps in (people.shared, people.mask))
        fused = fuse_attention(shared, self._let_through(shared), people.folded, mask)
        images, count = people.folded.shape[:2]
        fused = fused.reshape(images, count, fused.shape[1], -1)
        norm = self.norm(fused)
        weight, bias = self._last_layer(order, norm)
        logits = keypoint_logits((fused - norm.shift[..., None]).relu(), weight, bias)
        return logits.reshape(images, count, order.shape[1], *shared.shape[-2:]), norm

    def at(self, people: Attended, norm: Norm, order: Tensor, pixels: Tensor) -> Tensor:
        """Logits (B, N, K, T) of each keypoint of each person at T pixels of its own.

        Args:
            people: of :meth:`attend`.
            norm: of the same people, from :meth:`at_every_second`.
            order: (B, K), which keypoint is the k-th of an image's people.
            pixels: (B, N, K, T), numbers of output pixels, row by row.
        """
        images, count, keypoints, tile = pixels.shape
        height, width = people.shared.shape[-2:]
        first = torch.arange(images, device=pixels.device) * (height * width)
        rows = (pixels + first[:, None, None, None]).flatten()
        shared = torch.unflatten(people.shared.permute(0, 2, 3, 1).flatten(0, 2)[rows], 0, (images * count, -1))
        mask = people.mask.flatten(1).gather(1, pixels.flatten(0, 1).flatten(1))
        # `_let_through` at these pixels only: with up to about ten people they are fewer than the whole map's.
        masked = shared @ split_fusion(self.fuse)[1].T
        fused = shared @ people.folded.flatten(0, 1).transpose(1, 2) + masked * mask[..., None]
        maps = torch.unflatten((fused - norm.shift.flatten(0, 1)[:, None]).relu(), 1, (keypoints, tile))
        weight, bias = self._last_layer(order, norm)
        logits = (maps @ weight.flatten(0, 1)[..., None]).reshape(images, count, keypoints, tile)
        return logits + bias[:, None, :, None]

    def _last_layer(self, order: Tensor, norm: Norm | None = None) -> tuple[Tensor, Tensor]:
        """Weights (B, N or 1, K, C), with the norm's factor in them, and bias (B, K)."""
        assert self.heatmap.bias is not None
        weight = self.heatmap.weight.flatten(1)[order][:, None]
        return weight if norm is None else weight * norm.factor[:, :, None], self.heatmap.bias[order]

    def _let_through(self, shared: Tensor) -> Tensor:
        """What a mask lets through of the shared maps: (B, C, h, w) to the same."""
        return F.conv2d(shared, split_fusion(self.fuse)[1][:, :, None, None])

    def _attend(self, shared: Tensor, parameters: Tensor, yx: Tensor) -> Attended:
        """People with parameters (B, N, D) and centres (B, N, 2)."""
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, yx)
        folded = fold(split_fusion(self.fuse)[0], self.channel_attention(parameters))
        return Attended(shared, folded, self.mask(response))
