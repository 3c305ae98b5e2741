"""PoseFix as one graph: uint8 crops and poses in, refined poses out. torch runs it, ONNX export traces it."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from everypose.methods.posefix.network import IMAGE_MEAN


@runtime_checkable
class RefinementNetwork(Protocol):
    """What a refinement network offers to the graph and to training.

    Attributes:
        stride: pixels of the crop for each cell of a heatmap.

    >>> from everypose.methods.posefix.method import build
    >>> from everypose.methods.posefix.settings import PoseFixSettings
    >>> network = build(PoseFixSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8), keypoints=2)
    >>> isinstance(network, RefinementNetwork)
    True
    """

    stride: int

    def refine(self, images: Tensor, poses: Tensor, given: Tensor) -> Tensor:
        """Pixels minus the mean (B, 3, H, W), poses (B, K, 2), mask (B, K) -> refined poses (B, K, 2), crop pixels."""
        ...

    def __call__(self, images: Tensor, poses: Tensor, given: Tensor) -> Tensor:
        """The same inputs -> heatmap logits (B, K, h, w)."""
        ...


class RefinementGraph(nn.Module):
    """Normalization, network, soft-argmax and flip test of a batch of crops and poses.

    Args:
        network: refines the poses.
        flip_index: (K,) the keypoint that takes each keypoint's place in a mirrored image.

    >>> from everypose.methods.posefix.method import build
    >>> from everypose.methods.posefix.settings import PoseFixSettings
    >>> network = build(PoseFixSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8), keypoints=2)
    >>> graph = RefinementGraph(network.eval(), flip_index=torch.tensor([1, 0]))
    >>> crop = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    >>> pose = torch.tensor([[[20.0, 30.0, 1.0], [40.0, 30.0, 1.0]]])
    >>> graph(crop, pose, mirrored=torch.zeros(1)).shape
    torch.Size([1, 2, 2])
    """

    flip_index: Tensor
    mean: Tensor

    def __init__(self, network: RefinementNetwork, flip_index: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("flip_index", flip_index, persistent=False)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN)[:, None, None], persistent=False)

    def forward(self, images: Tensor, poses: Tensor, mirrored: Tensor) -> Tensor:
        """Refine one pose in each crop.

        Args:
            images: (B, H, W, 3) uint8 RGB crops, B at least 1.
            poses: (B, K, 3) float32 x, y in crop pixels and whether the keypoint is given (> 0).
            mirrored: (F,) of any type; F = 0 for the crops only, F = 1 for the flip test, which also refines the
                mirrored pose in the mirrored crop and averages both.

        Returns:
            (B, K, 2) x, y in crop pixels.
        """
        flips, count = mirrored.shape[0], images.shape[0]
        last = images.shape[2] - 1
        seen = torch.cat([images, images[: count * flips].flip(2)])
        given = torch.cat([poses, self._mirrored(poses[: count * flips], last)])
        pixels = seen.permute(0, 3, 1, 2).float() - self.mean
        refined = self.network.refine(pixels, given[..., :2], given[..., 2] > 0)
        refined = torch.cat([refined[:count], self._mirrored(refined[count:], last)])
        # Without a flip test the last views are the first ones.
        return (refined[:count] + refined[count * flips : count * flips + count]) / 2

    def _mirrored(self, poses: Tensor, last: int) -> Tensor:
        """Poses (B, K, 2 or 3) in the mirrored crop, whose last column is ``last``."""
        swapped = poses[:, self.flip_index]
        return torch.cat([last - swapped[..., :1], swapped[..., 1:]], dim=-1)
