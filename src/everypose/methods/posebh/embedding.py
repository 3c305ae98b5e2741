"""The branch that gives every heatmap pixel an embedding, in the space where all skeletons' prototypes live."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.methods.vitpose.network import INITIAL_STD, upsampling


class ResidualNeck(nn.Module):
    """Two 3x3 convolutions and a projected shortcut, with SiLU.

    >>> import torch
    >>> ResidualNeck(8, 4).eval()(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 4, 4, 3])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        y = self.bn2(self.conv2(F.silu(self.bn1(self.conv1(x)))))
        return F.silu(y + self.downsample(x))


class EmbeddingBranch(nn.Module):
    """The backbone's feature, brought to the heatmaps' resolution and mixed into embeddings.

    >>> import torch
    >>> EmbeddingBranch(inputs=8, size=16, channels=4).eval()(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 16, 16, 12])
    """

    def __init__(self, inputs: int, size: int = 64, channels: int = 256) -> None:
        super().__init__()
        self.deconv_layers = upsampling(inputs, channels)
        self.neck = ResidualNeck(channels, size)
        self.head = nn.Sequential(
            nn.Conv2d(size, size, 3, padding=1), nn.BatchNorm2d(size), nn.SiLU(), nn.Conv2d(size, size, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to embeddings (B, size, 4h, 4w) of any length, in the precision of its weights."""
        with torch.autocast(feature.device.type, enabled=False):
            embedding: Tensor = self.head(self.neck(self.deconv_layers(feature.to(self.neck.conv1.weight.dtype))))
        return embedding
