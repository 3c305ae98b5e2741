"""The PoseFix network: a crop and an input pose, drawn as Gaussian maps, to a refined pose."""

import torch
from torch import Tensor, nn

from everypose.backbones.backbone import Backbone
from everypose.methods.top_down.baselines import make_baseline

POSE_MAP_HEIGHT = 255.0
"""Peak of the Gaussian input maps: the range of the image's pixels."""
BATCH_NORM_EPSILON = 1e-9
"""Of the released network."""
BATCH_NORM_MOMENTUM = 0.01
"""One minus the released network's decay of 0.99."""
IMAGE_MEAN = (123.68, 116.78, 103.94)
"""ImageNet's channel means, RGB, which are subtracted from uint8 pixels; there is no division."""
LITE_INPUT_SCALE = 1 / 57.4
"""Factor of Lite-HRNet's input: one over the spread of ImageNet's pixels, for which its first layer was trained."""


def pose_maps(poses: Tensor, given: Tensor, *, height: int, width: int, sigma: float) -> Tensor:
    """Draw input poses as Gaussian maps.

    Args:
        poses: (B, K, 2) x, y in crop pixels.
        given: (B, K) bool; the map of a keypoint that is not given is zero.
        height: of the crop, pixels.
        width: of the crop, pixels.
        sigma: standard deviation of the Gaussians, pixels.

    Returns:
        (B, K, height, width), peaks of :data:`POSE_MAP_HEIGHT`.

    Example:
        >>> maps = pose_maps(torch.tensor([[[3.0, 2.0]]]), torch.tensor([[True]]), height=4, width=6, sigma=1.0)
        >>> maps.shape, float(maps[0, 0, 2, 3])
        (torch.Size([1, 1, 4, 6]), 255.0)
    """
    columns = _falloff(poses[..., 0], width, sigma)
    rows = _falloff(poses[..., 1], height, sigma)
    weight = POSE_MAP_HEIGHT * given.to(poses.dtype)
    return (rows * weight[..., None])[..., :, None] * columns[..., None, :]


def _falloff(center: Tensor, length: int, sigma: float) -> Tensor:
    """One axis of a Gaussian: (B, K) centers to (B, K, length)."""
    positions = torch.arange(length, dtype=center.dtype, device=center.device)
    return torch.exp(-(((positions - center[..., None]) / sigma) ** 2) / 2)


def soft_argmax(heatmaps: Tensor) -> Tensor:
    """Expected coordinates under the softmax of each map (integral regression; Sun et al., ECCV 2018).

    Args:
        heatmaps: (B, K, h, w) logits.

    Returns:
        (B, K, 2) x, y in heatmap cells.

    Example:
        >>> logits = torch.zeros(1, 1, 3, 5)
        >>> soft_argmax(logits).tolist()
        [[[2.0, 1.0]]]
    """
    height, width = heatmaps.shape[-2:]
    mass = heatmaps.flatten(-2).softmax(-1).view(heatmaps.shape)
    columns = torch.arange(width, dtype=mass.dtype, device=mass.device)
    rows = torch.arange(height, dtype=mass.dtype, device=mass.device)
    x = (mass.sum(-2) * columns).sum(-1)
    y = (mass.sum(-1) * rows).sum(-1)
    return torch.stack([x, y], dim=-1)


class PoseFix(nn.Module):
    """A backbone that takes the crop and K pose maps, and the head of a top-down baseline.

    The paper's backbone is a ResNet with SimpleBaseline's head. With Lite-HRNet, which is everypose's small variant,
    the head is a 1x1 convolution; it has no batch normalization that would adapt to the range of the pixels, so its
    input is divided by their spread. The released code feeds OpenCV's BGR pixels with the means in RGB order by
    mistake; here RGB goes with RGB means.

    Args:
        backbone: ResNet-50, -101 or -152, Lite-HRNet or another; its first convolution is replaced by one with 3 + K
            input channels that keeps the weights for the image's channels.
        keypoints: K, number of keypoints of the skeleton.
        sigma: standard deviation of the Gaussian input maps in crop pixels; the paper has 9 for crops of 288 x 384
            and 7 for 192 x 256.
        deconv: channels of the transposed convolutions of a ResNet.

    Example:
        >>> from everypose.backbones.resnet import ResNet
        >>> network = PoseFix(ResNet((1, 1, 1, 1)), 17, sigma=7.0).eval()
        >>> poses, given = torch.full((1, 17, 2), 20.0), torch.ones(1, 17, dtype=torch.bool)
        >>> network(torch.zeros(1, 3, 64, 64), poses, given).shape
        torch.Size([1, 17, 16, 16])
    """

    stride = 4

    def __init__(self, backbone: Backbone, keypoints: int, *, sigma: float, deconv: int = 256) -> None:
        super().__init__()
        _widen_input(backbone, keypoints)
        self.backbone = backbone
        self.head = make_baseline(backbone, keypoints, deconv).head
        self.sigma = sigma
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        self.input_scale = 1.0 if norms else LITE_INPUT_SCALE
        for norm in norms:
            norm.eps, norm.momentum = BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM

    def forward(self, images: Tensor, poses: Tensor, given: Tensor) -> Tensor:
        """Predict heatmap logits.

        Args:
            images: (B, 3, H, W) RGB pixels minus :data:`IMAGE_MEAN`; H and W are multiples of 32.
            poses: (B, K, 2) input poses, x, y in crop pixels.
            given: (B, K) bool, which keypoints of the input poses exist.

        Returns:
            (B, K, H / 4, W / 4).
        """
        height, width = images.shape[-2:]
        maps = pose_maps(poses, given, height=height, width=width, sigma=self.sigma)
        heatmaps: Tensor = self.head(self.backbone(torch.cat([images, maps], dim=1) * self.input_scale))
        return heatmaps

    def refine(self, images: Tensor, poses: Tensor, given: Tensor) -> Tensor:
        """The refined poses (B, K, 2), x, y in crop pixels; arguments as for :meth:`forward`."""
        return soft_argmax(self(images, poses, given)) * self.stride


def input_layer(backbone: nn.Module) -> str:
    """Return the name of a backbone's first convolution.

    Example:
        >>> from everypose.backbones.resnet import ResNet
        >>> input_layer(ResNet((1, 1, 1, 1)))
        'conv1'
    """
    names: list[str] = [name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)]
    return names[0]


def _widen_input(backbone: nn.Module, more: int) -> None:
    """Give a backbone's first convolution ``more`` further input channels."""
    parent, _, name = input_layer(backbone).rpartition(".")
    module = backbone.get_submodule(parent)
    layer = getattr(module, name)
    assert isinstance(layer, nn.Conv2d)
    setattr(module, name, _widened(layer, more))


def _widened(layer: nn.Conv2d, more: int) -> nn.Conv2d:
    """A convolution with ``more`` further input channels, which keeps the weights of the first ones."""
    inputs, padding = layer.in_channels, layer.padding
    assert not isinstance(padding, str)
    kernel, stride = (layer.kernel_size[0], layer.kernel_size[1]), (layer.stride[0], layer.stride[1])
    wide = nn.Conv2d(
        inputs + more, layer.out_channels, kernel, stride, (padding[0], padding[1]), bias=layer.bias is not None
    )
    with torch.no_grad():
        wide.weight[:, :inputs] = layer.weight
        if wide.bias is not None and layer.bias is not None:
            wide.bias.copy_(layer.bias)
    return wide
