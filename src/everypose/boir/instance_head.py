"""BoIR's instance keypoint head: one person's heatmaps from the shared feature and the vector at its centre."""

import torch.nn.functional as F
from torch import Tensor, nn

from everypose.single_stage.attention import fuse_attention, instance_parameters, spatial_response


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
        response = spatial_response(shared, self.spatial_attention(parameters), self.spatial_conv, image_index, yx)
        fused = fuse_attention(
            shared, self.channel_attention(parameters), F.instance_norm(response), self.fuse, image_index
        )
        logits: Tensor = self.heatmap(F.relu(F.instance_norm(fused), inplace=True))
        return logits
