"""The CID network: bottom-up keypoints and centres on the backbone, and the decoupling head (GFD)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.single_stage.attention import (
    fuse_attention,
    instance_parameters,
    keypoint_logits,
    parameters_of_all,
    spatial_response,
    split_fusion,
)
from everypose.single_stage.initialisation import scatter_weights, start_at_prior
from everypose.single_stage.losses import probabilities


class GFD(nn.Module):
    """Global feature decoupling (section 3.3): a person's heatmaps by spatial and channel attention."""

    def __init__(self, inputs: int, channels: int, keypoints: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, channels, 1)
        self.channel_attention = nn.Linear(inputs, channels)
        self.spatial_attention = nn.Linear(inputs, channels)
        self.spatial_conv = nn.Conv2d(3, 1, 5, padding=2)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)
        self.heatmap = nn.Conv2d(channels, keypoints, 1)

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Keypoint logits (P, K, h, w) of the people centred at ``yx`` (P, 2) in images ``image_index`` (P,)."""
        shared = self.down(feature)
        parameters = instance_parameters(feature, image_index, yx)
        weight, masking = split_fusion(self.fuse)
        masked = F.conv2d(shared, masking[:, :, None, None])
        fused = self._fused(shared[image_index], masked[image_index], parameters[:, None], yx[:, None], weight)
        logits: Tensor = self.heatmap(torch.relu(fused))
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
        shared = self.down(feature)
        weight, masking = split_fusion(self.fuse)
        masked = F.conv2d(shared, masking[:, :, None, None])
        fused = self._fused(shared, masked, parameters_of_all(feature, yx), yx, weight)
        logits = keypoint_logits(torch.relu(fused), self.heatmap, order)
        height, width = feature.shape[-2:]
        return logits.reshape(*yx.shape[:2], order.shape[1], height, width)

    def _fused(self, shared: Tensor, masked: Tensor, parameters: Tensor, yx: Tensor, weight: Tensor) -> Tensor:
        """Of people (B, N) with parameters (B, N, D): the fusion (B N, C, h, w)."""
        mask = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, yx).sigmoid()
        assert self.fuse.bias is not None
        fused = fuse_attention(shared, masked, self.channel_attention(parameters), mask, weight)
        return fused + self.fuse.bias[:, None, None]


class TrainingOutputs(NamedTuple):
    """What the losses look at; maps at stride 4, B images, I instances.

    ``multi_heatmap`` (B, K + 1, h, w) probabilities, the centre last; ``parameters`` (I, D), the instances' vectors;
    ``instance_heatmaps`` (I, K, h, w) probabilities.
    """

    multi_heatmap: Tensor
    parameters: Tensor
    instance_heatmaps: Tensor


class CID(nn.Module):
    """Contextual instance decoupling.

    Args:
        backbone: makes the feature of D channels at stride 4.
        keypoints: number of keypoints of the skeleton.
        instance: channels of the decoupling head (32 for W32, 48 for W48).
    """

    def __init__(self, backbone: Backbone, keypoints: int, instance: int = 32) -> None:
        super().__init__()
        self.backbone = backbone
        self.colours = backbone.colours
        channels = backbone.channels
        self.keypoints_and_center = nn.Conv2d(channels, keypoints + 1, 1)
        self.instance_head = GFD(channels, instance, keypoints)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to the backbone feature (B, D, H/4, W/4)."""
        feature: Tensor = self.backbone(images)
        return feature

    def center_map(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to the probability of a person's centre (B, 1, h, w)."""
        return probabilities(self.keypoints_and_center(feature)[:, -1:])

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """Keypoint probabilities (B, N, K, h, w) of the people centred at ``yx`` (B, N, 2).

        ``order`` (B, K) says which keypoint each map of an image's people shows.
        """
        return probabilities(self.instance_head.of_all(feature, yx, order))

    def forward(self, images: Tensor, image_index: Tensor, yx: Tensor) -> TrainingOutputs:
        """All outputs that training needs, for normalised images (B, 3, H, W) and the given instances."""
        feature = self.features(images)
        return TrainingOutputs(
            multi_heatmap=probabilities(self.keypoints_and_center(feature)),
            parameters=instance_parameters(feature, image_index, yx),
            instance_heatmaps=probabilities(self.instance_head(feature, image_index, yx)),
        )


def initialise(network: CID, hidden: float | None = 0.001) -> None:
    """The released initialisation of all but the backbone: sigmoids start at 0.01.

    Args:
        network: what to initialise.
        hidden: standard deviation of the hidden layers' weights; None leaves them as the framework made them.
    """
    if hidden is not None:
        scatter_weights(network.instance_head, hidden, bias=0.0)
    start_at_prior(network.keypoints_and_center)
    start_at_prior(network.instance_head.heatmap)
