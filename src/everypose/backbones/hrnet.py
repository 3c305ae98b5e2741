"""HRNet: parallel branches at strides 4, 8, 16 and 32 that exchange features (Sun et al., CVPR 2019).

Parameter names are those of the authors' checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """A bias-free convolution that keeps the size (up to its stride), batch normalisation and, if asked, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the output has four times the inner width."""

    expansion = 4

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = conv_bn(inputs, outputs, 1, relu=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H, W)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


class HRModule(nn.Module):
    """Residual blocks in every branch, then each output branch sums all branches brought to its resolution."""

    def __init__(self, widths: list[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(widths, source, target) for source in range(len(widths))) for target in range(outputs)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """One (B, width, H, W) map per branch in, one per output branch out."""
        features = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [self._fuse(layers, features) for layers in self.fuse_layers]

    @staticmethod
    def _fuse(layers: nn.Module, features: list[Tensor]) -> Tensor:
        assert isinstance(layers, nn.ModuleList)
        total = layers[0](features[0])
        for layer, feature in zip(layers[1:], features[1:], strict=True):
            total = total + layer(feature)
        return F.relu(total, inplace=True)


def _fusion(widths: list[int], source: int, target: int) -> nn.Module:
    """The path from branch ``source`` to branch ``target``: up by nearest neighbour, down by strided convolutions."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            *conv_bn(widths[source], widths[target], 1, relu=False),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = target - source
    keep = [conv_bn(widths[source], widths[source], 3, stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*keep, conv_bn(widths[source], widths[target], 3, stride=2, relu=False))


class HRNet(nn.Module):
    """The four-stage pose HRNet; ``width`` is the number of channels at stride 4 (32 for W32, 48 for W48).

    Args:
        width: channels of branch 0; branches 1 to 3 have two, four and eight times as many.
        modules: how many modules stages 2, 3 and 4 have.
        blocks: basic blocks in each branch of a module.
        stem_blocks: bottleneck blocks of ``layer1``.
    """

    def __init__(
        self, width: int = 32, modules: tuple[int, int, int] = (1, 4, 3), blocks: int = 4, stem_blocks: int = 4
    ) -> None:
        super().__init__()
        self.widths = [width, 2 * width, 4 * width, 8 * width]
        self.channels = sum(self.widths)
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(*(Bottleneck(64 if i == 0 else 256, 64) for i in range(stem_blocks)))
        self.transition1 = nn.ModuleList(
            [conv_bn(256, self.widths[0], 3), nn.Sequential(conv_bn(256, self.widths[1], 3, stride=2))]
        )
        self.transition2 = self._new_branch(2)
        self.transition3 = self._new_branch(3)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(HRModule(self.widths[:n], blocks, outputs=n) for _ in range(count)))
            for n, count in zip((2, 3, 4), modules, strict=True)
        )

    def _new_branch(self, last: int) -> nn.ModuleList:
        """Existing branches pass unchanged; a strided convolution of the lowest one starts branch ``last``."""
        new = nn.Sequential(conv_bn(self.widths[last - 1], self.widths[last], 3, stride=2))
        return nn.ModuleList([*(nn.Identity() for _ in range(last)), new])

    def branches(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W), H and W multiples of 32, to four maps at strides 4, 8, 16 and 32."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.layer1(x)
        features: list[Tensor] = self.stage2([layer(x) for layer in self.transition1])
        features = self.stage3([*features, self.transition2[-1](features[-1])])
        features = self.stage4([*features, self.transition3[-1](features[-1])])
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to (B, 15 width, H/4, W/4): all branches, resized bilinearly to stride 4."""
        first, *lower = self.branches(images)
        size = first.shape[-2:]
        resized = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in lower]
        return torch.cat([first, *resized], dim=1)
