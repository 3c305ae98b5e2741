"""The CID network: bottom-up keypoints and centres on the backbone, and the decoupling head (GFD)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from everypose.single_stage.attention import fuse_attention, instance_parameters, spatial_response
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
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, image_index, yx)
        fused = fuse_attention(shared, self.channel_attention(parameters), response.sigmoid(), self.fuse, image_index)
        logits: Tensor = self.heatmap(torch.relu(fused))
        return logits


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
        backbone: (B, 3, H, W) to (B, backbone.channels, H/4, W/4).
        keypoints: number of keypoints of the skeleton.
        instance: channels of the decoupling head (32 for W32, 48 for W48).
    """

    def __init__(self, backbone: nn.Module, keypoints: int, instance: int = 32) -> None:
        super().__init__()
        channels = backbone.channels
        assert isinstance(channels, int)
        self.backbone = backbone
        self.keypoints_and_center = nn.Conv2d(channels, keypoints + 1, 1)
        self.instance_head = GFD(channels, instance, keypoints)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to the backbone feature (B, D, H/4, W/4)."""
        feature: Tensor = self.backbone(images)
        return feature

    def center_map(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to the probability of a person's centre (B, 1, h, w)."""
        return probabilities(self.keypoints_and_center(feature)[:, -1:])

    def instance_heatmaps(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Keypoint probabilities (P, K, h, w) of the people centred at ``yx`` (P, 2) in images ``image_index`` (P,)."""
        return probabilities(self.instance_head(feature, image_index, yx))

    def forward(self, images: Tensor, image_index: Tensor, yx: Tensor) -> TrainingOutputs:
        """All outputs that training needs, for normalised images (B, 3, H, W) and the given instances."""
        feature = self.features(images)
        return TrainingOutputs(
            multi_heatmap=probabilities(self.keypoints_and_center(feature)),
            parameters=instance_parameters(feature, image_index, yx),
            instance_heatmaps=self.instance_heatmaps(feature, image_index, yx),
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
