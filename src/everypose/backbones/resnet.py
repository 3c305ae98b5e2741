"""ResNet with bottleneck blocks (He et al., CVPR 2016), the trunk of SimpleBaseline.

The stride of a layer sits in the 3x3 convolution of its first block. Parameter names are the usual checkpoints'.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Step, SteppedBackbone
from everypose.backbones.hrnet import Bottleneck

Blocks = tuple[int, int, int, int]
BLOCKS: dict[int, Blocks] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""The blocks of the four layers, by the depth that names a ResNet."""


class ResNet(SteppedBackbone):
    """ResNet-50 by default.

    Args:
        blocks: bottleneck blocks of layers 1 to 4; see :data:`BLOCKS`.

    Attributes:
        channels: channels of the feature.
        step_widths: channels of the one map after each of the :meth:`steps`.

    >>> import torch
    >>> ResNet((1, 1, 1, 1)).eval()(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 2048, 2, 1])
    """

    channels = 2048
    stride = 32
    step_widths = ((64,), (256,), (512,), (1024,))

    def __init__(self, blocks: Blocks = BLOCKS[50]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, blocks[0], stride=1)
        self.layer2 = _layer(256, 128, blocks[1], stride=2)
        self.layer3 = _layer(512, 256, blocks[2], stride=2)
        self.layer4 = _layer(1024, 512, blocks[3], stride=2)

    def steps(self) -> list[Step]:
        """Four steps from ``[images]`` to the one map that :meth:`finish` takes; MIPNet modulates the map after them.

        The first gives the input of layer 1, the others those of layers 2, 3 and 4.
        """
        return [
            self._begin,
            lambda maps: [self.layer1(maps[0])],
            lambda maps: [self.layer2(maps[0])],
            lambda maps: [self.layer3(maps[0])],
        ]

    def _begin(self, images: list[Tensor]) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(images[0])), inplace=True)
        return [F.max_pool2d(x, 3, stride=2, padding=1)]

    def finish(self, maps: list[Tensor]) -> Tensor:
        """The output of layer 4, (B, 2048, H/32, W/32)."""
        feature: Tensor = self.layer4(maps[0])
        return feature


def _layer(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(width * Bottleneck.expansion, width) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(inputs, width, stride), *rest)
