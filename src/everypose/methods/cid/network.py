"""The CID network: bottom-up keypoints and centers on the backbone, and the decoupling head (GFD)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.methods.single_stage.attention import instance_parameters
from everypose.methods.single_stage.attention_head import AttentionHead, Norm
from everypose.methods.single_stage.initialization import PAPER_STD, initialize_normal, start_at_prior
from everypose.methods.single_stage.int8_scopes import Int8Scopes
from everypose.methods.single_stage.losses import probabilities
from everypose.methods.spec import Initialization


class GFD(AttentionHead):
    """Global feature decoupling (section 3.3): a person's heatmaps by spatial and channel attention.

    >>> import torch
    >>> head = GFD(inputs=32, channels=8, keypoints=17).eval()
    >>> image_index, centers = torch.tensor([0, 0]), torch.tensor([[3, 4], [10, 5]])
    >>> head(torch.zeros(1, 32, 16, 12), image_index, centers).shape  # the heatmaps of two people
    torch.Size([2, 17, 16, 12])
    """

    epsilon = None

    def attention(self, inputs: int, channels: int) -> nn.Module:
        """(..., D) to (..., C)."""
        return nn.Linear(inputs, channels)

    def mask(self, response: Tensor) -> Tensor:
        """(P, 1, h, w) to the same."""
        return response.sigmoid()

    def activate(self, fused: Tensor) -> Tensor:
        """(P, C, h, w) to the same."""
        assert self.fuse.bias is not None
        return torch.relu(fused + self.fuse.bias[:, None, None])

    def norm(self, fused: Tensor) -> Norm:
        """The bias alone, whatever the values."""
        assert self.fuse.bias is not None
        shift = -self.fuse.bias.expand(fused.shape[:3])
        return Norm(shift, torch.ones_like(shift))


class CIDOutputs(NamedTuple):
    """Inputs of the losses: maps at stride 4 of B images with I instances.

    ``multi_heatmap`` (B, K + 1, h, w) probabilities, the center last; ``parameters`` (I, D), the instances' vectors;
    ``instance_heatmaps`` (I, K, h, w) probabilities.

    >>> import torch
    >>> from everypose.backbones.hrnet import HRNet
    >>> network = CID(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), keypoints=17, instance=4)
    >>> two_people = torch.tensor([0, 1]), torch.tensor([[3, 4], [10, 5]])  # their images; their centers y, x
    >>> outputs = network(torch.zeros(2, 3, 64, 64), *two_people)
    >>> outputs.multi_heatmap.shape, outputs.parameters.shape, outputs.instance_heatmaps.shape
    (torch.Size([2, 18, 16, 16]), torch.Size([2, 60]), torch.Size([2, 17, 16, 16]))
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

    >>> import torch
    >>> from everypose.backbones.hrnet import HRNet
    >>> network = CID(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), keypoints=17, instance=4).eval()
    >>> feature = network.features(torch.zeros(1, 3, 64, 64))
    >>> feature.shape, network.center_map(feature).shape
    (torch.Size([1, 60, 16, 16]), torch.Size([1, 1, 16, 16]))
    """

    def __init__(self, backbone: Backbone, keypoints: int, instance: int = 32) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalization = backbone.normalization
        channels = backbone.channels
        self.keypoints_and_center = nn.Conv2d(channels, keypoints + 1, 1)
        self.instance_head = GFD(channels, instance, keypoints)

    @property
    def int8_scopes(self) -> Int8Scopes:
        """The modules that become int8: the backbone."""
        return Int8Scopes(
            quantized=("backbone",), kept=tuple(f"backbone.{name}" for name in self.backbone.float_modules)
        )

    def features(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to the backbone feature (B, D, H/4, W/4)."""
        feature: Tensor = self.backbone(images)
        return feature

    def center_map(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to the probability of a person's center (B, 1, h, w)."""
        return probabilities(self.keypoints_and_center(feature)[:, -1:])

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """Keypoint probabilities (B, N, K, h, w) of the people centered at ``yx`` (B, N, 2).

        ``order`` (B, K) says which keypoint each map of an image's people shows.
        """
        return probabilities(self.instance_head.batched_logits(feature, yx, order))

    def forward(self, images: Tensor, image_index: Tensor, yx: Tensor) -> CIDOutputs:
        """All outputs that training needs, for normalized images (B, 3, H, W) and the given instances."""
        feature = self.features(images)
        return CIDOutputs(
            multi_heatmap=probabilities(self.keypoints_and_center(feature)),
            parameters=instance_parameters(feature, image_index, yx),
            instance_heatmaps=probabilities(self.instance_head(feature, image_index, yx)),
        )


def initialize(network: CID, initialization: Initialization = Initialization.PAPER) -> None:
    """The released initialization of all but the backbone: sigmoids start at 0.01.

    Args:
        network: what to initialize.
        initialization: of the hidden layers. The framework's weights are trained in hundreds of steps, the paper's
            small ones in thousands.

    >>> from everypose.backbones.hrnet import HRNet
    >>> network = CID(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), keypoints=17, instance=4)
    >>> initialize(network)
    >>> round(float(network.keypoints_and_center.bias.detach().sigmoid()[0]), 2)  # few pixels show a keypoint
    0.01
    """
    if initialization is Initialization.PAPER:
        initialize_normal(network.instance_head, PAPER_STD, bias=0.0)
    start_at_prior(network.keypoints_and_center)
    start_at_prior(network.instance_head.heatmap)
