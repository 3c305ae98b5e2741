"""BoIR's instance keypoint head: CID's, with norms of the attentions, the mask and the fusion."""

import torch.nn.functional as F
from torch import Tensor, nn

from everypose.methods.single_stage.attention_head import AttentionHead, Norm

EPSILON = 1e-5
"""What `F.instance_norm` adds to a variance: `norm` is to equal it."""


class InstanceHead(AttentionHead):
    """Layer normalization of the attentions, instance normalization of the mask and the fusion.

    >>> import torch
    >>> head = InstanceHead(inputs=32, channels=8, keypoints=17).eval()
    >>> image_index, centers = torch.tensor([0, 0]), torch.tensor([[3, 4], [10, 5]])
    >>> head(torch.zeros(1, 32, 16, 12), image_index, centers).shape  # the heatmaps of two people
    torch.Size([2, 17, 16, 12])
    """

    epsilon = EPSILON

    def attention(self, inputs: int, channels: int) -> nn.Module:
        """(..., D) to (..., C)."""
        return nn.Sequential(nn.Linear(inputs, channels), nn.LayerNorm(channels))

    def mask(self, response: Tensor) -> Tensor:
        """(P, 1, h, w) to the same."""
        return F.instance_norm(response)

    def activate(self, fused: Tensor) -> Tensor:
        """(P, C, h, w) to the same."""
        if self.training:
            # The norm takes the bias away again; it takes part so that every parameter has a gradient.
            assert self.fuse.bias is not None
            fused = fused + self.fuse.bias[:, None, None]
        return F.relu(F.instance_norm(fused), inplace=True)

    def norm(self, fused: Tensor) -> Norm:
        """Mean and standard deviation of (B, N, C, h w) over the pixels, as shift and factor."""
        mean = fused.mean(-1)
        variance = (fused - mean[..., None]).square().mean(-1)
        return Norm(mean, (variance + EPSILON).rsqrt())
