"""The BoIR network (section 3): a backbone, the neck with its heads, and the instance keypoint head."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.backbones.hrnet import conv_bn
from everypose.methods.boir.dilated_conv import DilatedConv2d
from everypose.methods.boir.instance_head import InstanceHead
from everypose.methods.single_stage.initialization import PAPER_STD, initialize_normal, start_at_prior
from everypose.methods.single_stage.int8_scopes import Int8Scopes
from everypose.methods.single_stage.losses import probabilities
from everypose.methods.spec import Initialization

ASPP_DILATIONS = (12, 24, 36)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: five views of the feature with growing context, joined by a 1x1 convolution.

    With ``squeeze``, a 1x1 convolution first reduces the feature to that many channels: on a CPU, the time of a dilated
    convolution with few outputs grows with its inputs.

    >>> ASPP(inputs=32, branch=8, outputs=16).eval()(torch.zeros(1, 32, 16, 12)).shape
    torch.Size([1, 16, 16, 12])
    """

    def __init__(self, inputs: int, branch: int, outputs: int, squeeze: int = 0) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1, bias=False) if squeeze else nn.Identity()
        inputs = squeeze or inputs
        dilated = (
            nn.Sequential(
                DilatedConv2d(inputs, branch, dilation),
                nn.BatchNorm2d(branch),
                nn.ReLU(inplace=True),
            )
            for dilation in ASPP_DILATIONS
        )
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn(inputs, branch, 1))
        self.convs = nn.ModuleList([conv_bn(inputs, branch, 1), *dilated, pooled])
        self.project = conv_bn(branch * len(self.convs), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        if x.is_cpu and torch.is_autocast_enabled("cpu"):
            # oneDNN's bfloat16 gradient of the widely dilated weights is not finite (torch 2.13).
            with torch.autocast("cpu", enabled=False):
                return self.forward(x.float())
        squeezed = self.squeeze(x)
        *local, pooled = (conv(squeezed) for conv in self.convs)
        # Resizing one pixel is a copy of it.
        joined: Tensor = self.project(torch.cat([*local, pooled.expand_as(local[0])], dim=1))
        return joined


class Head(nn.Module):
    """A residual block and a 3x3 convolution; ``center``, ``buk``, ``emb`` and ``bbox`` have one each.

    >>> Head(inputs=16, inner=8, outputs=4).eval()(torch.zeros(1, 16, 16, 12)).shape
    torch.Size([1, 4, 16, 12])
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.shortcut = conv_bn(inputs, inner, 1, relu=False)
        self.output = nn.Conv2d(inner, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)
        output: Tensor = self.output(y)
        return output


class AuxiliaryHeads(nn.Module):
    """The heads that exist only while training: bottom-up keypoints, embedding and box distances.

    >>> heads = AuxiliaryHeads(inputs=16, inner=8, keypoints=17, embedding=32)
    >>> [name for name, _ in heads.named_children()]
    ['buk', 'emb', 'bbox']
    """

    def __init__(self, inputs: int, inner: int, keypoints: int, embedding: int) -> None:
        super().__init__()
        self.buk = Head(inputs, inner, keypoints)
        self.emb = Head(inputs, inner, embedding)
        self.bbox = Head(inputs, inner, 4)


class BoIROutputs(NamedTuple):
    """Inputs of the losses: maps at stride 4 of B images with I instances.

    ``multi_heatmap`` (B, K + 1, h, w) probabilities, the center last; ``embedding`` (B, E, h, w), not normalized;
    ``box_distances`` (B, 4, h, w) left, top, right, bottom; ``instance_heatmaps`` (I, K, h, w) probabilities;
    ``offsets`` (B, 2, h, w), x, y in output pixels, if the backbone predicts them, else None.

    >>> from everypose.backbones.hrnet import HRNet
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    >>> network = BoIR(backbone, keypoints=17, instance=4, neck_branch=4, neck=8, head=4, embedding=6)
    >>> two_people = torch.tensor([0, 1]), torch.tensor([[3, 4], [10, 5]])  # their images; their centers y, x
    >>> outputs = network(torch.zeros(2, 3, 64, 64), *two_people)
    >>> outputs.multi_heatmap.shape, outputs.embedding.shape, outputs.instance_heatmaps.shape
    (torch.Size([2, 18, 16, 16]), torch.Size([2, 6, 16, 16]), torch.Size([2, 17, 16, 16]))
    """

    multi_heatmap: Tensor
    embedding: Tensor
    box_distances: Tensor
    instance_heatmaps: Tensor
    offsets: Tensor | None = None


class BoIR(nn.Module):
    """Box-supervised instance representation.

    Args:
        backbone: makes the feature of D channels at stride 4.
        keypoints: number of keypoints of the skeleton.
        instance: channels of the instance keypoint head (64 for W32, 96 for W48).
        neck_squeeze: channels of the ASPP's input, mixtures of the feature's; 0, as published, for the feature itself.
        neck_branch: channels of each ASPP branch.
        neck: channels of the neck.
        head: inner channels of the heads on the neck.
        embedding: channels of the embedding.
        auxiliary: whether to make the heads that only training needs.

    >>> from everypose.backbones.hrnet import HRNet
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    >>> network = BoIR(backbone, keypoints=17, instance=4, neck=8).eval()
    >>> feature = network.features(torch.zeros(1, 3, 64, 64))
    >>> feature.shape, network.center_map(feature).shape
    (torch.Size([1, 60, 16, 16]), torch.Size([1, 1, 16, 16]))
    """

    def __init__(
        self,
        backbone: Backbone,
        keypoints: int,
        *,
        instance: int = 64,
        neck_squeeze: int = 0,
        neck_branch: int = 128,
        neck: int = 256,
        head: int = 128,
        embedding: int = 128,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalization = backbone.normalization
        channels = backbone.channels
        self.neck = ASPP(channels, neck_branch, neck, neck_squeeze)
        self.center = Head(neck, head, 1)
        self.auxiliary = AuxiliaryHeads(neck, head, keypoints, embedding) if auxiliary else None
        self.instance_head = InstanceHead(channels, instance, keypoints)

    @property
    def int8_scopes(self) -> Int8Scopes:
        """The modules that become int8: all that are computed once for an image."""
        kept = tuple(f"backbone.{name}" for name in self.backbone.float_modules)
        return Int8Scopes(
            quantized=("backbone", "neck", "center"), kept=(*kept, "center.output"), concatenations=("neck",)
        )

    def features(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to the backbone feature (B, D, H/4, W/4)."""
        feature: Tensor = self.backbone(images)
        return feature

    def center_map(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to the probability of a person's center (B, 1, h, w)."""
        return probabilities(self.center(self.neck(feature)))

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """Keypoint probabilities (B, N, K, h, w) of the people centered at ``yx`` (B, N, 2).

        ``order`` (B, K) says which keypoint each map of an image's people shows.
        """
        return probabilities(self.instance_head.batched_logits(feature, yx, order))

    def forward(self, images: Tensor, image_index: Tensor, yx: Tensor) -> BoIROutputs:
        """All outputs that training needs, for normalized images (B, 3, H, W) and the given instances."""
        assert self.auxiliary is not None, "this network was made without its training heads"
        feature = self.features(images)
        neck = self.neck(feature)
        multi = torch.cat([self.auxiliary.buk(neck), self.center(neck)], dim=1)
        return BoIROutputs(
            multi_heatmap=probabilities(multi),
            embedding=self.auxiliary.emb(neck),
            box_distances=self.auxiliary.bbox(neck),
            instance_heatmaps=probabilities(self.instance_head(feature, image_index, yx)),
            offsets=self.backbone.offsets(feature),
        )


def initialize(network: BoIR, initialization: Initialization = Initialization.PAPER) -> None:
    """The paper's initialization of all but the backbone: sigmoids start at 0.01, boxes at one pixel a side.

    The released box head starts with every convolution at 0. Then no gradient ever passes its ReLU, and only the last
    bias learns. Here the last convolution alone starts at 0: the same first boxes, from a head that can learn.

    Args:
        network: what to initialize.
        initialization: of the hidden layers. The framework's weights are trained in hundreds of steps, the paper's
            small ones in thousands.

    >>> from everypose.backbones.hrnet import HRNet
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
    >>> network = BoIR(backbone, keypoints=17, instance=4, neck_branch=4, neck=8, head=4, embedding=6)
    >>> initialize(network)
    >>> round(float(network.center.output.bias.detach().sigmoid()), 2)  # few pixels are a person's center
    0.01
    """
    parts: list[nn.Module] = [network.neck, network.center, network.instance_head]
    outputs = [network.center.output, network.instance_head.heatmap]
    if network.auxiliary is not None:
        parts.append(network.auxiliary)
        outputs.append(network.auxiliary.buk.output)
    if initialization is Initialization.PAPER:
        for part in parts:
            initialize_normal(part, PAPER_STD)
        if isinstance(network.neck.squeeze, nn.Conv2d):
            # The PAPER_STD of two stacked layers would make the variance at the following norm vanish.
            network.neck.squeeze.reset_parameters()
    for output in outputs:
        start_at_prior(output)
    if network.auxiliary is not None:
        boxes = network.auxiliary.bbox.output
        assert boxes.bias is not None
        nn.init.zeros_(boxes.weight)
        nn.init.ones_(boxes.bias)
