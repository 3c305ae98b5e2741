"""The head that CID and BoIR decouple people by, but for the norms in which the two differ."""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from everypose.single_stage.attention import (
    fuse_attention,
    instance_parameters,
    keypoint_logits,
    parameters_of_all,
    spatial_response,
    split_fusion,
)


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

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Keypoint logits of P people, spread over the images as they come: for training.

        Args:
            feature: (B, D, h, w), the backbone's.
            image_index: (P,), each person's image.
            yx: (P, 2), each person's centre in output pixels.

        Returns:
            (P, K, h, w).
        """
        shared, masked = self._shared(feature)
        parameters = instance_parameters(feature, image_index, yx)
        logits: Tensor = self.heatmap(
            self._maps(shared[image_index], masked[image_index], parameters[:, None], yx[:, None])
        )
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
        height, width = feature.shape[-2:]
        maps = self._maps(*self._shared(feature), parameters_of_all(feature, yx), yx)
        logits = keypoint_logits(maps, self.heatmap, order)
        return logits.reshape(*yx.shape[:2], order.shape[1], height, width)

    def _shared(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """What people of an image share, each (B, C, h, w): the maps, and what a mask lets through of them."""
        shared = self.down(feature)
        return shared, F.conv2d(shared, split_fusion(self.fuse)[1][:, :, None, None])

    def _maps(self, shared: Tensor, masked: Tensor, parameters: Tensor, yx: Tensor) -> Tensor:
        """(B N, C, h, w) of people with parameters (B, N, D) and centres (B, N, 2)."""
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, yx)
        weight, _ = split_fusion(self.fuse)
        attended = self.channel_attention(parameters)
        return self.activate(fuse_attention(shared, masked, attended, self.mask(response), weight))
