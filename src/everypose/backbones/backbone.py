"""What a single-stage method stands on."""

from torch import Tensor, nn

from everypose.backbones.colours import IMAGENET, Colours


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised in its colours, to a feature (B, channels, H/4, W/4)."""

    channels: int
    colours: Colours = IMAGENET

    def offsets(self, _feature: Tensor) -> Tensor | None:
        """What a backbone that tells it says of a feature's pixels: where the centre of the person there is.

        (B, channels, h, w) to (B, 2, h, w), x and y, in output pixels, for
        :func:`everypose.methods.boir.offset_loss.offset_loss`.
        """
        return None
