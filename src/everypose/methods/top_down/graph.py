"""A whole top-down method as one graph: uint8 crops in, keypoints and confidences out.

Torch inference runs it, the ONNX export traces it and evaluation uses it, so that no second decoder can drift away.
"""

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.core.decoder_names import UDP_DECODERS, Decoder
from everypose.core.geometry import Size
from everypose.methods.top_down.decoding import decode


@runtime_checkable
class HeatmapNetwork(Protocol):
    """What every top-down network offers to the graph.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.top_down.baselines import HRNetPose
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1, outputs=1)
    >>> isinstance(HRNetPose(backbone, keypoints=17), HeatmapNetwork)
    True
    """

    def heatmaps(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) -> heatmaps (B, N, K, h, w) of N instances."""
        ...


@runtime_checkable
class SeveralPeopleNetwork(HeatmapNetwork, Protocol):
    """A network that finds several people in a crop, and need not compute all of them.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.top_down.baselines import HRNetPose
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1, outputs=1)
    >>> isinstance(HRNetPose(backbone, keypoints=17), SeveralPeopleNetwork)
    False
    """

    def needed_heatmaps(self, images: Tensor, with_others: Tensor) -> Tensor:
        """As :meth:`heatmaps`, but 0 for all except the primary person where ``with_others`` (B,) or (1,) is 0."""
        ...


_STRIDE = 4
"""Pixels of a crop for each cell of a heatmap."""


class TopDownGraph(nn.Module):
    """Normalization, network, flip test and decoding of a batch of crops.

    The last column of cells lies 3 pixels before a crop's last column of pixels, so mirrored heatmaps of mirrored crops
    are not aligned with those of the crops. With ``dark-3`` mirrored crops are moved by 3 pixels, which is exact; with
    the other classic decoders mirrored heatmaps are moved by one cell, as in their releases, which is off by a quarter.

    Args:
        network: whose heatmaps are decoded.
        flip_index: (K,) the keypoint that takes each keypoint's place in a mirrored image.
        decoder: how heatmaps become keypoints; ``udp`` and ``udp-0.8`` go with crops of the UDP convention.
        bgr: whether the network was trained on BGR images, although with the mean and standard deviation of RGB.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.top_down.baselines import HRNetPose
    >>> backbone = HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1, outputs=1)
    >>> graph = TopDownGraph(HRNetPose(backbone, keypoints=2).eval(), flip_index=torch.tensor([1, 0]))
    >>> graph(torch.zeros(3, 64, 32, 3, dtype=torch.uint8), mirrored=torch.zeros(1)).shape  # one person a crop
    torch.Size([3, 1, 2, 3])
    """

    flip_index: Tensor

    def __init__(
        self, network: HeatmapNetwork, flip_index: Tensor, decoder: Decoder = "quarter", bgr: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.decoder = decoder
        self.bgr = bgr
        self.register_buffer("flip_index", flip_index, persistent=False)

    def forward(self, images: Tensor, mirrored: Tensor, with_others: Tensor | None = None) -> Tensor:
        """Find the keypoints of every instance.

        Args:
            images: (B, H, W, 3) uint8 RGB crops, B at least 1.
            mirrored: (F,) of any type; F = 0 for the crops only, F = 1 for test-time flip augmentation (flip test).
            with_others: (B,) or (1,) of any type; 0 for crops of which only the primary person is computed, by a
                `SeveralPeopleNetwork`. None computes all people.

        Returns:
            (B, N, K, 3): x, y in crop pixels and confidence; all 0 for people who are not computed.
        """
        flips, count = mirrored.shape[0], images.shape[0]
        seen = torch.cat([images, self.mirrored_crops(images[: count * flips])])
        pixels = normalize(seen, bgr=self.bgr)
        if with_others is None:
            maps = self.network.heatmaps(pixels)
        else:
            of_crops = with_others * torch.ones(count, device=images.device)
            of_views = torch.cat([of_crops, of_crops[: count * flips]])
            maps = cast(SeveralPeopleNetwork, self.network).needed_heatmaps(pixels, of_views)
        maps = torch.cat([maps[:count], self.mirrored_back(maps[count:])])
        # Without a flip test the last views are the first ones.
        mean = (maps[:count] + maps[count * flips : count * flips + count]) / 2
        return decode(mean.float(), self.decoder, Size(images.shape[2], images.shape[1]))

    def mirrored_crops(self, images: Tensor) -> Tensor:
        """Crops (B, H, W, 3) mirrored; with ``dark-3`` moved to the left, with the last columns twice."""
        mirrored = images.flip(2)
        if self.decoder != "dark-3":
            return mirrored
        moved = _STRIDE - 1
        return torch.cat([mirrored[:, :, moved:], mirrored[:, :, -moved:]], dim=2)

    def mirrored_back(self, maps: Tensor) -> Tensor:
        """Heatmaps (B, N, K, h, w) of mirrored crops as those of the crops themselves.

        Those of the classic decoders, except ``dark-3``, are moved by one column to the right; the first column stays.
        """
        back = maps.flip(-1)[:, :, self.flip_index]
        aligned = self.decoder == "dark-3" or self.decoder in UDP_DECODERS
        return back if aligned else torch.cat([back[..., :1], back[..., :-1]], dim=-1)
