"""ViTPose: a vision transformer and a light decoder (Xu et al., NeurIPS 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.vit import ViT
from everypose.methods.spec import Initialization

INITIAL_STD = 0.001


def upsampling(inputs: int, channels: int) -> nn.Sequential:
    """Two transposed convolutions, each followed by batch normalization and ReLU: (B, inputs, h, w) to 4h x 4w.

    >>> import torch
    >>> upsampling(8, 4).eval()(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 4, 16, 12])
    """
    layers: list[nn.Module] = []
    for width in (inputs, channels):
        deconv = nn.ConvTranspose2d(width, channels, 4, 2, padding=1, bias=False)
        nn.init.normal_(deconv.weight, std=INITIAL_STD)
        layers += [deconv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class HeatmapHead(nn.Module):
    """The classic decoder of ViTPose: the heatmaps of one skeleton's keypoints.

    >>> import torch
    >>> HeatmapHead(inputs=8, keypoints=17, channels=4).eval()(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 17, 16, 12])
    """

    def __init__(self, inputs: int, keypoints: int, channels: int = 256) -> None:
        super().__init__()
        self.deconv_layers = upsampling(inputs, channels)
        self.final_layer = nn.Conv2d(channels, keypoints, 1)
        nn.init.normal_(self.final_layer.weight, std=INITIAL_STD)
        assert self.final_layer.bias is not None
        nn.init.zeros_(self.final_layer.bias)

    @property
    def keypoints(self) -> int:
        """Number of heatmaps, K."""
        return self.final_layer.out_channels

    def forward(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to heatmaps (B, K, 4h, 4w), in the precision of its weights even under autocast."""
        with torch.autocast(feature.device.type, enabled=False):
            heatmaps: Tensor = self.final_layer(self.deconv_layers(feature.to(self.final_layer.weight.dtype)))
        return heatmaps


class SimpleHead(nn.Module):
    """The simple decoder of ViTPose (Section 3.1): ReLU, bilinear upsampling by 4, a 3x3 convolution.

    >>> import torch
    >>> SimpleHead(inputs=8, keypoints=17).eval()(torch.zeros(1, 8, 4, 3)).shape
    torch.Size([1, 17, 16, 12])
    """

    def __init__(self, inputs: int, keypoints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(inputs, keypoints, 3, padding=1)
        nn.init.normal_(self.final_layer.weight, std=INITIAL_STD)
        assert self.final_layer.bias is not None
        nn.init.zeros_(self.final_layer.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, D, h, w) to heatmaps (B, K, 4h, 4w), in the precision of its weights even under autocast."""
        with torch.autocast(feature.device.type, enabled=False):
            rectified = F.relu(feature.to(self.final_layer.weight.dtype))
            upsampled = F.interpolate(rectified, scale_factor=4, mode="bilinear", align_corners=False)
            heatmaps: Tensor = self.final_layer(upsampled)
        return heatmaps


class ViTPose(nn.Module):
    """A plain vision transformer with one heatmap head.

    Args:
        backbone: without experts.
        head: on the backbone's channels.

    >>> import torch
    >>> from everypose.backbones.vit import ViT
    >>> backbone = ViT(width=16, depth=1, heads=2, image_size=(48, 64))
    >>> network = ViTPose(backbone, HeatmapHead(16, keypoints=17, channels=4)).eval()
    >>> network.heatmaps(torch.zeros(1, 3, 64, 48)).shape
    torch.Size([1, 1, 17, 16, 12])
    """

    def __init__(self, backbone: ViT, head: HeatmapHead | SimpleHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to heatmaps (B, K, H/4, W/4)."""
        heatmaps: Tensor = self.head(self.backbone(images))
        return heatmaps

    def heatmaps(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to heatmaps (B, 1, K, H/4, W/4) of the one person of each crop."""
        return self.forward(images)[:, None]


def initialize(network: nn.Module, initialization: Initialization) -> None:
    """Reinitialize the hidden layers after the backbone of a ViTPose or PoseBH by the framework's weights.

    The paper's weights are those that the network is made with. The last layers keep their small weights.

    >>> head = HeatmapHead(inputs=8, keypoints=17, channels=4)
    >>> network = ViTPose(ViT(width=8, depth=1, heads=2), head)
    >>> initialize(network, Initialization.FRAMEWORK)
    >>> bool(head.deconv_layers[0].weight.detach().std() > head.final_layer.weight.detach().std())
    True
    """
    if initialization is Initialization.PAPER:
        return
    for name, module in network.named_modules():
        hidden = not name.startswith("backbone.") and not name.endswith("final_layer")
        if hidden and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
