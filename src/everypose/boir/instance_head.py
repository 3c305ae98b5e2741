"""BoIR's instance keypoint head: one person's heatmaps from the shared feature and the vector at its centre."""

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


class InstanceHead(nn.Module):
    """Channel and spatial attention by a person's parameter vector, fused and turned into keypoint logits.

    CID's GFD head with layer normalisation of the attentions and instance normalisation of the mask and the fusion.
    """

    def __init__(self, inputs: int, channels: int, keypoints: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, channels, 1)
        self.channel_attention = nn.Sequential(nn.Linear(inputs, channels), nn.LayerNorm(channels))
        self.spatial_attention = nn.Sequential(nn.Linear(inputs, channels), nn.LayerNorm(channels))
        self.spatial_conv = nn.Conv2d(3, 1, 5, padding=2)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)
        self.heatmap = nn.Conv2d(channels, keypoints, 1)

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """Keypoint logits of P people.

        Args:
            feature: (B, D, h, w), the backbone's.
            image_index: (P,), each person's image.
            yx: (P, 2), each person's centre in output pixels.

        Returns:
            (P, K, h, w).
        """
        shared = self.down(feature)
        parameters = instance_parameters(feature, image_index, yx)
        weight, masking = split_fusion(self.fuse)
        masked = F.conv2d(shared, masking[:, :, None, None])
        fused = self._fused(shared[image_index], masked[image_index], parameters[:, None], yx[:, None], weight)
        assert self.fuse.bias is not None
        fused = F.instance_norm(fused + self.fuse.bias[:, None, None])
        logits: Tensor = self.heatmap(F.relu(fused, inplace=True))
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
        # The instance normalisation takes the bias of the fusion away again.
        fused = F.instance_norm(self._fused(shared, masked, parameters_of_all(feature, yx), yx, weight))
        logits = keypoint_logits(F.relu(fused, inplace=True), self.heatmap, order)
        height, width = feature.shape[-2:]
        return logits.reshape(*yx.shape[:2], order.shape[1], height, width)

    def _fused(self, shared: Tensor, masked: Tensor, parameters: Tensor, yx: Tensor, weight: Tensor) -> Tensor:
        """Of people (B, N) with parameters (B, N, D): the fusion (B N, C, h, w) before its normalisation."""
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, yx)
        mask = F.instance_norm(response)
        return fuse_attention(shared, masked, self.channel_attention(parameters), mask, weight)
