"""What a method requires of its backbone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from everypose.backbones.normalization import IMAGENET, Normalization

Step = Callable[[list[Tensor]], list[Tensor]]
"""A part of a backbone: maps (B, C, H, W) of several branches in, maps out."""


class Backbone(nn.Module):
    """Base of convolutional backbones: normalized images (B, 3, H, W) to (B, channels, H/stride, W/stride).

    Attributes:
        channels: channels of the feature, D.
        stride: input pixels for each pixel of the feature; single-stage methods need 4.
        normalization: the input normalization that it was trained with.
        float_modules: its modules that stay in float32 after quantization, because they output positions.

    Example:
        >>> import torch
        >>> class Pooled(Backbone):
        ...     channels = 3
        ...     def forward(self, images):
        ...         return nn.functional.avg_pool2d(images, self.stride)
        >>> Pooled()(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 3, 16, 12])
    """

    channels: int
    stride: int = 4
    normalization: Normalization = IMAGENET
    float_modules: tuple[str, ...] = ()

    def offsets(self, _feature: Tensor) -> Tensor | None:
        """Predict the offset from each pixel to the center of its person; None if the backbone has no such head.

        Feature (B, channels, h, w) to offsets (B, 2, h, w), x and y in output pixels, for
        :func:`everypose.methods.boir.offset_loss.offset_loss`.
        """
        return None


class SteppedBackbone(Backbone, ABC):
    """Base of backbones that MIPNet can modulate: four steps, and the rest.

    Attributes:
        step_widths: channels of the maps after each of the four steps.

    Example:
        >>> from everypose.backbones.resnet import ResNet
        >>> len(ResNet().steps()), ResNet.step_widths
        (4, ((64,), (256,), (512,), (1024,)))
    """

    step_widths: Sequence[Sequence[int]]

    @abstractmethod
    def steps(self) -> list[Step]:
        """Return four steps from ``[images]`` to the maps that :meth:`finish` takes."""

    @abstractmethod
    def finish(self, maps: list[Tensor]) -> Tensor:
        """Compute the feature from the maps of the last step."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to the feature (B, channels, H/stride, W/stride)."""
        maps = [images]
        for step in self.steps():
            maps = step(maps)
        return self.finish(maps)
