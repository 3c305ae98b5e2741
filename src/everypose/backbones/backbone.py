"""What a single-stage method stands on."""

from torch import Tensor, nn

from everypose.backbones.colors import IMAGENET, Colors


class Backbone(nn.Module):
    """Base of the backbones of single-stage methods: images (B, 3, H, W), normalized, to (B, channels, H/4, W/4).

    Attributes:
        channels: channels of the feature, D.
        colors: the input normalization that it was trained with.
        float_modules: its modules that stay in float32 after quantization, because they output positions.
    """

    channels: int
    colors: Colors = IMAGENET
    float_modules: tuple[str, ...] = ()

    def offsets(self, _feature: Tensor) -> Tensor | None:
        """Predict the offset from each pixel to the center of its person; None if the backbone has no such head.

        Feature (B, channels, h, w) to offsets (B, 2, h, w), x and y in output pixels, for
        :func:`everypose.methods.boir.offset_loss.offset_loss`.
        """
        return None
