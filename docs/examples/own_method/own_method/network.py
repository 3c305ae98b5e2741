"""HeatNet's network."""

from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from own_method.backbone_settings import StridesSettings


class Strides(Backbone):
    """Two strided convolutions: normalized images (B, 3, H, W) to a feature (B, width, H/4, W/4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = width
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, stride=2, padding=1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, width, H/4, W/4)."""
        feature: Tensor = self.layers(images)
        return feature


def build_strides(settings: StridesSettings) -> Strides:
    """Make the backbone."""
    return Strides(settings.width)


class HeatNet(nn.Module):
    """A backbone and a 1x1 convolution to K heatmaps."""

    def __init__(self, backbone: Strides, keypoints: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels, keypoints, 1)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Normalized crops (B, 3, H, W) to heatmaps (B, 1, K, H/4, W/4) of one person."""
        maps: Tensor = self.head(self.backbone(images).relu())
        return maps[:, None]
