"""A small backbone: MobileNetV2, a feature pyramid to stride 4 and heads, as in MoveNet Lightning.

MobileNetV2: Sandler et al., CVPR 2018. There is no batch normalization: it is folded into the convolutions of the
weights that training starts from, so small batches do no harm.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.backbones.normalization import Normalization

# Expansion, output channels, blocks, first stride (MobileNetV2, table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
LAST_CHANNELS = 1280
# The blocks whose outputs feed the pyramid at strides 4, 8 and 16.
TAPS = {2: 24, 5: 32, 9: 64}


def _strided(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a 3x3 convolution; a stride of 2 pads right and bottom only, as TensorFlow does on even sizes."""
    if conv.stride == (2, 2):
        x = F.pad(x, (0, 1, 0, 1))
    y: Tensor = conv(x)
    return y


def _conv3(inputs: int, outputs: int, stride: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1 if stride == 1 else 0, groups=groups)


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, project; with a shortcut where shapes agree.

    >>> import torch
    >>> InvertedResidual(8, 16, stride=2, expansion=6)(torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 16, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion != 1 else None
        self.depthwise = _conv3(inner, inner, stride, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        wide = F.relu6(self.expand(x)) if self.expand is not None else x
        y: Tensor = self.project(F.relu6(_strided(wide, self.depthwise)))
        return x + y if self.shortcut else y


class Smooth(nn.Module):
    """A depthwise 3x3 and a pointwise convolution that follow each sum of the pyramid.

    >>> import torch
    >>> Smooth(8, 4)(torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 4, 8, 8])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = _conv3(inputs, inputs, 1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        return F.relu(self.pointwise(self.depthwise(x)))


class PredictionHead(nn.Module):
    """A head of MoveNet: a depthwise 3x3 and two pointwise convolutions.

    >>> import torch
    >>> PredictionHead(8, 17)(torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 17, 8, 8])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = _conv3(inputs, inputs, 1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, 96, 1)
        self.out = nn.Conv2d(96, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        y: Tensor = self.out(F.relu(self.pointwise(self.depthwise(x))))
        return y


class Lite(Backbone):
    """MobileNetV2 with a pyramid; the feature has all its levels, resized to stride 4, and the outputs of three heads.

    The heads predict, for each pixel, the probability of each keypoint and of a person's center, and the offsets to
    the keypoints of a person centered there. Later layers take them as input channels; they are trained jointly.

    >>> import torch
    >>> network = Lite().eval()
    >>> network(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 196, 16, 16])
    """

    channels = 24 + 24 + 32 + 64 + 17 + 1 + 34
    normalization = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv3(3, 32, 2)
        blocks, inputs = [], 32
        for expansion, outputs, count, stride in STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.conv_last = nn.Conv2d(inputs, LAST_CHANNELS, 1)
        self.lateral32 = nn.Conv2d(LAST_CHANNELS, 64, 1)
        self.lateral16 = nn.Conv2d(64, 64, 1)
        self.lateral8 = nn.Conv2d(32, 32, 1)
        self.lateral4 = nn.Conv2d(24, 24, 1)
        self.smooth16 = Smooth(64, 32)
        self.smooth8 = Smooth(32, 24)
        self.smooth4 = Smooth(24, 24)
        self.kpt_heatmap = PredictionHead(24, 17)
        self.center = PredictionHead(24, 1)
        self.kpt_regress = PredictionHead(24, 34)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W), H and W multiples of 32, to (B, 196, H/4, W/4)."""
        x = F.relu6(_strided(images, self.conv1))
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                taps.append(x)
        stride4, stride8, stride16 = taps
        coarse = self.lateral32(F.relu6(self.conv_last(x)))
        level16 = self.smooth16(_up(coarse, 2) + self.lateral16(stride16))
        level8 = self.smooth8(_up(level16, 2) + self.lateral8(stride8))
        level4 = self.smooth4(_up(level8, 2) + self.lateral4(stride4))
        pyramid = [level4, _up(level8, 2), _up(level16, 4), _up(coarse, 8)]
        likely = [4 * self.kpt_heatmap(level4).sigmoid(), 4 * self.center(level4).sigmoid()]
        return torch.cat([*pyramid, *likely, self.kpt_regress(level4) / 8], dim=1)


def _up(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
