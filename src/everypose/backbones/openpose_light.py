"""The trunk of Lightweight OpenPose with a feature at stride 4: the backbone of boir-lite.

Osokin, "Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose", 2018, in the form of the Open Model
Zoo's human-pose-estimation-0001: MobileNet v1 that stays at stride 8, and two stages that each predict keypoint
heatmaps and part affinity fields (directions of limbs). There is no batch normalization: it is folded into the
convolutions of the weights that training starts from, so small batches do no harm.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.backbones.normalization import Normalization

# MobileNet v1's separable convolutions: name, inputs, outputs, stride, dilation.
SEPARABLE = (
    ("conv2_1", 32, 64, 1, 1),
    ("conv2_2", 64, 128, 2, 1),
    ("conv3_1", 128, 128, 1, 1),
    ("conv3_2", 128, 256, 2, 1),
    ("conv4_1", 256, 256, 1, 1),
    ("conv4_2", 256, 512, 1, 1),
    ("conv5_1", 512, 512, 1, 2),
    *((f"conv5_{i}", 512, 512, 1, 1) for i in range(2, 6)),
)
STRIDE_4 = "conv3_1"
HEATMAPS, FIELDS = 19, 38
CHANNELS = 128
DETAIL = 64
# In output pixels: from the size of a limb to more than that of a picture.
WAVELENGTHS = (32, 64, 128, 256)
# How far away, in output pixels, an offset of 1 points.
OFFSET_UNIT = 32.0


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, (size // 2) * dilation, dilation, groups)


class Separable(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, each with its nonlinearity.

    >>> import torch
    >>> Separable(8, 4, stride=2)(torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 4, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.dw = _conv(inputs, inputs, 3, stride, dilation, groups=inputs)
        self.sep = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return F.relu(self.sep(F.relu(self.dw(x))))


class Context(nn.Module):
    """The module between MobileNet and the stages: three separable convolutions around a shortcut, then a 3x3.

    >>> Context()(torch.zeros(1, 512, 8, 6)).shape
    torch.Size([1, 128, 8, 6])
    """

    def __init__(self) -> None:
        super().__init__()
        self.al = _conv(512, CHANNELS, 1)
        self.dw = nn.ModuleList(_conv(CHANNELS, CHANNELS, groups=CHANNELS) for _ in range(3))
        self.pw = nn.ModuleList(_conv(CHANNELS, CHANNELS, 1) for _ in range(4))
        self.out = _conv(CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 512, h, w) to (B, 128, h, w)."""
        shortcut = F.relu(self.al(x))
        y = F.relu(self.pw[0](shortcut))
        for dw, pw in zip(self.dw, list(self.pw)[1:], strict=True):
            y = F.relu(pw(F.relu(dw(y))))
        return F.relu(self.out(shortcut + y))


class _FirstStage(nn.Module):
    """Three shared 3x3 convolutions, then fields and heatmaps each by a wide pointwise layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.ModuleList(_conv(CHANNELS, CHANNELS) for _ in range(3))
        self.fields = nn.Sequential(_conv(CHANNELS, 512, 1), nn.ReLU(), _conv(512, FIELDS, 1))
        self.heatmaps = nn.Sequential(_conv(CHANNELS, 512, 1), nn.ReLU(), _conv(512, HEATMAPS, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 128, h, w) to (B, 57, h, w): the fields, then the heatmaps."""
        for conv in self.shared:
            x = F.relu(conv(x))
        return torch.cat([self.fields(x), self.heatmaps(x)], dim=1)


class Refinement(nn.Module):
    """A residual block with a wide view: pointwise, 3x3, dilated 3x3.

    >>> import torch
    >>> Refinement(8).eval()(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 128, 4, 4])
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.squeeze = _conv(inputs, CHANNELS, 1)
        self.conv = _conv(CHANNELS, CHANNELS)
        self.dilated = _conv(CHANNELS, CHANNELS, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, 128, h, w)."""
        shortcut = F.relu(self.squeeze(x))
        return shortcut + F.relu(self.dilated(F.relu(self.conv(shortcut))))


class Trunk(nn.Module):
    """Lightweight OpenPose with one refinement stage and ReLU in place of ELU in the context module.

    ELU has no fast 8-bit kernel. The repository's ``python -m research.boir_lite.lighten_trunk`` fits published
    weights to the change.

    >>> feature, context = Trunk()(torch.zeros(1, 3, 64, 48))
    >>> feature.shape, context.shape
    (torch.Size([1, 128, 16, 12]), torch.Size([1, 185, 8, 6]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(3, 32, 3, stride=2)
        self.mobilenet = nn.ModuleDict(
            {
                name: Separable(inputs, outputs, stride, dilation)
                for name, inputs, outputs, stride, dilation in SEPARABLE
            }
        )
        self.context = Context()
        self.first = _FirstStage()
        self.refinement = nn.ModuleList(
            Refinement(CHANNELS + FIELDS + HEATMAPS if i == 0 else CHANNELS) for i in range(5)
        )
        self.fields = nn.Sequential(_conv(CHANNELS, CHANNELS, 1), nn.ReLU(), _conv(CHANNELS, FIELDS, 1))
        self.heatmaps = nn.Sequential(_conv(CHANNELS, CHANNELS, 1), nn.ReLU(), _conv(CHANNELS, HEATMAPS, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized images (B, 3, H, W) to (B, 128, H/4, W/4) and (B, 185, H/8, W/8): feature, fields, heatmaps."""
        x = F.relu(self.conv1(images))
        stride4 = x
        for name, block in self.mobilenet.items():
            x = block(x)
            if name == STRIDE_4:
                stride4 = x
        context = self.context(x)
        y = torch.cat([self.first(context), context], dim=1)
        for block in self.refinement:
            y = block(y)
        return stride4, torch.cat([y, self.fields(y), self.heatmaps(y)], dim=1)


class PositionEncoding(nn.Module):
    """Encoding of the position of each pixel, and of the predicted center of the person that it belongs to.

    An encoding has the sine and the cosine of x and of y at several wavelengths, so that the scalar product of two,
    which the spatial attention of BoIR and CID computes, is a sum of cos(x - x') and cos(y - y'): it falls with the
    distance between them, wherever they are in an image of any size.

    >>> encoding = PositionEncoding()(torch.zeros(1, DETAIL, 4, 6))
    >>> encoding.shape, encoding.dtype
    (torch.Size([1, 32, 4, 6]), torch.float32)
    """

    channels = 2 * 4 * len(WAVELENGTHS)

    def __init__(self) -> None:
        super().__init__()
        self.offset = _conv(DETAIL, 2, 1)

    def offsets(self, detail: Tensor) -> Tensor:
        """(B, 64, h, w) to (B, 2, h, w): x and y from each pixel to the center, in output pixels, float32."""
        offsets: Tensor = OFFSET_UNIT * self.offset(detail).float()
        return offsets

    def forward(self, detail: Tensor) -> Tensor:
        """(B, 64, h, w) to (B, 32, h, w), in float32 also where convolutions run in bfloat16: its bits are too few."""
        batch, _, height, width = detail.shape
        x = _from_the_middle(width, detail.device)
        y = _from_the_middle(height, detail.device)[:, None]
        dx, dy = torch.split(self.offsets(detail), 1, dim=1)
        waves = [_waves(place) for place in (x[None, None, None], y[None, None], x + dx, y + dy)]
        return torch.cat([wave.expand(batch, -1, height, width) for wave in waves], dim=1)


class OpenPoseLight(Backbone):
    """The trunk, and layers that join its strides, which are trained with the heads.

    The feature has 64 channels from both strides, the trunk's heatmaps and fields, and the position encoding.

    >>> import torch
    >>> network = OpenPoseLight().eval()
    >>> feature = network(torch.zeros(1, 3, 64, 48))
    >>> feature.shape, network.offsets(feature).shape
    (torch.Size([1, 153, 16, 12]), torch.Size([1, 2, 16, 12]))
    """

    float_modules = ("places",)

    channels = DETAIL + FIELDS + HEATMAPS + PositionEncoding.channels
    # Each pixel's value less 128, so that a gray image is 0.
    normalization = Normalization((128 / 255,) * 3, (1.0,) * 3)

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.wide = Refinement(CHANNELS + FIELDS + HEATMAPS)
        self.coarse = _conv(CHANNELS, DETAIL, 1)
        self.lateral = _conv(CHANNELS, DETAIL, 1)
        self.smooth = Separable(DETAIL, DETAIL)
        self.places = PositionEncoding()

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W), H and W multiples of 8, to (B, 153, H/4, W/4)."""
        stride4, stride8 = self.trunk(images)
        joined = F.relu(_up(self.coarse(self.wide(stride8))) + self.lateral(stride4))
        detail = self.smooth(joined)
        return torch.cat([detail, _up(stride8[:, CHANNELS:]), self.places(detail)], dim=1)

    def offsets(self, feature: Tensor) -> Tensor:
        """(B, 153, h, w) to (B, 2, h, w), the offsets that the position encoding uses."""
        return self.places.offsets(feature[:, :DETAIL])


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _from_the_middle(pixels: int, device: torch.device) -> Tensor:
    """(pixels,): how far each is from the middle of its row or column."""
    return torch.arange(pixels, dtype=torch.float32, device=device) - (pixels - 1) / 2


def _waves(place: Tensor) -> Tensor:
    """One coordinate (B, 1, h, w), in output pixels, as sines and cosines of all wavelengths (B, 8, h, w)."""
    angles = torch.cat([place * (2 * math.pi / wavelength) for wavelength in WAVELENGTHS], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
