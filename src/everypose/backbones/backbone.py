"""What a single-stage method stands on."""

from torch import nn

from everypose.backbones.colours import IMAGENET, Colours


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised in its colours, to a feature (B, channels, H/4, W/4)."""

    channels: int
    colours: Colours = IMAGENET
