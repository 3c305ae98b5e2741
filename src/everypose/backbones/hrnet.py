"""HRNet: parallel branches at strides 4, 8, 16 and 32 that exchange features (Sun et al., CVPR 2019).

Parameter names are those of the authors' checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Step, SteppedBackbone


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """A bias-free convolution that keeps the size (up to its stride), batch normalization and optionally ReLU.

    >>> import torch
    >>> conv_bn(3, 8, kernel=3, stride=2)(torch.zeros(1, 3, 16, 12)).shape
    torch.Size([1, 8, 8, 6])
    """
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and an identity shortcut.

    >>> import torch
    >>> BasicBlock(8)(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 8, 4, 3])
    """

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
    """1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut; the output has four times the inner width.

    >>> import torch
    >>> Bottleneck(8, width=4, stride=2)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 16, 2, 2])
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.downsample = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


class HRModule(nn.Module):
    """Residual blocks in every branch, then each output branch sums all branches brought to its resolution.

    >>> import torch
    >>> module = HRModule([4, 8], blocks=1, outputs=2)
    >>> [maps.shape for maps in module([torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 4, 4)])]
    [torch.Size([1, 4, 8, 8]), torch.Size([1, 8, 4, 4])]
    """

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
    """The path from branch ``source`` to branch ``target``: up by nearest neighbor, down by strided convolutions."""
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


class HRNet(SteppedBackbone):
    """The four-stage pose HRNet; ``width`` is the number of channels at stride 4 (32 for W32, 48 for W48).

    Args:
        width: channels of branch 0; branches 1 to 3 have two, four and eight times as many.
        modules: how many modules stages 2, 3 and 4 have.
        blocks: basic blocks in each branch of a module.
        stem_blocks: bottleneck blocks of ``layer1``.
        outputs: branches that the last module gives: all 4, which are joined at stride 4 (CID, BoIR), or 1, branch 0
            alone (networks on crops).

    Attributes:
        channels: channels of the feature.
        step_widths: channels of the maps after each of the :meth:`steps`.
        stage_widths: channels of the maps after each of the :meth:`stages`.

    >>> import torch
    >>> network = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1).eval()
    >>> network.channels, network(torch.zeros(1, 3, 64, 32)).shape
    (60, torch.Size([1, 60, 16, 8]))
    """

    def __init__(
        self,
        width: int = 32,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        stem_blocks: int = 4,
        outputs: int = 4,
    ) -> None:
        super().__init__()
        self.widths = [width, 2 * width, 4 * width, 8 * width]
        self.channels = sum(self.widths[:outputs])
        self.step_widths = [self.widths[:count] for count in (2, 3, 4, outputs)]
        self.stage_widths = [[Bottleneck.expansion * 64], *(self.widths[:count] for count in (2, 3, outputs))]
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
        self.stage2 = self._stage(2, modules[0], blocks, outputs=2)
        self.stage3 = self._stage(3, modules[1], blocks, outputs=3)
        self.stage4 = self._stage(4, modules[2], blocks, outputs)

    def _stage(self, branches: int, modules: int, blocks: int, outputs: int) -> nn.Sequential:
        """Modules over ``branches`` branches; the last one gives only the first ``outputs``."""
        given = [branches] * (modules - 1) + [outputs]
        return nn.Sequential(*(HRModule(self.widths[:branches], blocks, count) for count in given))

    def _new_branch(self, last: int) -> nn.ModuleList:
        """Existing branches pass unchanged; a strided convolution of the lowest one starts branch ``last``."""
        new = nn.Sequential(conv_bn(self.widths[last - 1], self.widths[last], 3, stride=2))
        return nn.ModuleList([*(nn.Identity() for _ in range(last)), new])

    def steps(self) -> list[Step]:
        """Four steps from ``[images]`` to the maps that :meth:`finish` takes; MIPNet modulates maps after them.

        The first ends with the two maps that stage 2 takes, the second and third with the three and four maps of stages
        3 and 4, their newest branch just started; the last gives the output of stage 4.
        """
        return [
            self._begin,
            lambda maps: _grow(self.stage2(maps), self.transition2),
            lambda maps: _grow(self.stage3(maps), self.transition3),
            self.stage4,
        ]

    def stages(self) -> list[Step]:
        """The four stages, from ``[images]`` to the maps that :meth:`finish` takes.

        They are the network of the :meth:`steps`, cut elsewhere: each ends with the outputs of its last block, before
        the branch that the next one adds is started.
        """
        return [
            self._first_stage,
            lambda maps: self.stage2([layer(maps[0]) for layer in self.transition1]),
            lambda maps: self.stage3(_grow(maps, self.transition2)),
            lambda maps: self.stage4(_grow(maps, self.transition3)),
        ]

    def _begin(self, images: list[Tensor]) -> list[Tensor]:
        (x,) = self._first_stage(images)
        return [layer(x) for layer in self.transition1]

    def _first_stage(self, images: list[Tensor]) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(images[0])), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        return [self.layer1(x)]

    def finish(self, maps: list[Tensor]) -> Tensor:
        """The maps of the last step, resized bilinearly to the first and joined: (B, channels, H/4, W/4)."""
        first, *lower = maps
        size = first.shape[-2:]
        resized = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in lower]
        return torch.cat([first, *resized], dim=1)


def _grow(maps: list[Tensor], transition: nn.ModuleList) -> list[Tensor]:
    """The maps and the branch that starts from the last of them."""
    return [*maps, transition[-1](maps[-1])]
