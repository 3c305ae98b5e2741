"""MIPNet (section 3): a baseline on crops that predicts the heatmaps of several people, one for each selector."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from everypose.backbones.backbone import Step, SteppedBackbone
from everypose.backbones.hrnet import HRNet
from everypose.errors import UsageError
from everypose.methods.mipnet.modulation import MIMB, select
from everypose.methods.mipnet.settings import Placement
from everypose.methods.top_down.baselines import Baseline

Sites = tuple[bool, bool, bool, bool]
PUBLISHED_SITES: Sites = (False, False, True, True)


class MIPNet(nn.Module):
    """A baseline with modulation blocks at some of four sites, one after each step of its backbone.

    In HRNet the sites are the inputs of stages 2, 3 and 4 (a block for each of their branches) and the output of
    stage 4; in ResNet the inputs of layers 1 to 4. The published networks have the last two, in the places of the
    release. The paper's text speaks of the ends of HRNet's stages 3 and 4: with the placement ``stage-ends`` the four
    sites are the outputs of stages 1 to 4, which for stage 3 leaves out the branch that stage 4 adds.

    The trunk, all layers before the first block, does not depend on the selector. It is computed once for all people of
    a crop, the rest as one batch of all people. Training does the same, while the released code repeats each crop N
    times in a batch. Gradients and batch-normalization statistics are equal, except for the correction n / (n - 1) in
    the trunk's running variances: n counts each pixel of the batch once instead of N times.

    Args:
        baseline: SimpleBaseline or HRNetPose on a stepped backbone; its backbone, head and weights are taken over.
        sites: where there are blocks.
        instances: number of people that are predicted in a crop, N.
        gain: factor of the blocks' gates; see :class:`MIMB`.
        placement: where the sites are.

    Raises:
        UsageError: if no site has blocks, so that all people would be the same; or if the placement is not that of the
            release and the backbone is no HRNet.

    >>> from everypose.backbones.resnet import ResNet
    >>> from everypose.methods.top_down.baselines import SimpleBaseline
    >>> network = MIPNet(SimpleBaseline(ResNet((1, 1, 1, 1)), keypoints=17, deconv=8)).eval()
    >>> network.heatmaps(torch.zeros(1, 3, 64, 32)).shape  # two people in one crop
    torch.Size([1, 2, 17, 16, 8])
    """

    selectors: Tensor

    def __init__(
        self,
        baseline: Baseline,
        sites: Sites = PUBLISHED_SITES,
        instances: int = 2,
        *,
        gain: float = 1.0,
        placement: Placement = "released",
    ) -> None:
        super().__init__()
        if not any(sites):
            raise UsageError("MIPNet needs modulation blocks: at least one of its four sites must be on")
        self.backbone = cast(SteppedBackbone, baseline.backbone)
        self.head = baseline.head
        self.placement = placement
        self.modulation = nn.ModuleList(
            nn.ModuleList(MIMB(channels, instances, gain) for channels in widths if on)
            for widths, on in zip(self._widths(), sites, strict=True)
        )
        self.first_site = sites.index(True)
        every_person = torch.stack([select(i, instances) for i in range(instances)])
        self.register_buffer("selectors", every_person, persistent=False)

    def _widths(self) -> Sequence[Sequence[int]]:
        """Channels of the maps at each site."""
        if self.placement == "released":
            return self.backbone.step_widths
        if not hasattr(self.backbone, "stage_widths"):
            raise UsageError("only an HRNet has modulation blocks at the ends of its stages: give placement=released")
        return cast(HRNet, self.backbone).stage_widths

    def steps(self) -> list[Step]:
        """The parts of the backbone that end at the four sites."""
        if self.placement == "released":
            return self.backbone.steps()
        return cast(HRNet, self.backbone).stages()

    def trunk(self, images: Tensor) -> list[Tensor]:
        """Compute what all people of a crop share: normalized crops (B, 3, H, W) to the maps before the first block."""
        maps = [images]
        for step in self.steps()[: self.first_site + 1]:
            maps = step(maps)
        return maps

    def heatmaps_for(self, images: Tensor, selectors: Tensor) -> Tensor:
        """Compute the heatmaps of the people that ``selectors`` choose, in every crop.

        Args:
            images: normalized crops (B, 3, H, W), H and W multiples of 32.
            selectors: (S, N), one-hot or soft; see :func:`everypose.methods.mipnet.modulation.select`.

        Returns:
            (B, S, K, H/4, W/4).
        """
        people, crops = len(selectors), images.shape[0]
        selectors = selectors[:, None].expand(-1, crops, -1).flatten(0, 1)
        heatmaps = self._after_trunk([torch.cat([x] * people) for x in self.trunk(images)], selectors)
        return heatmaps.reshape(people, -1, *heatmaps.shape[1:]).transpose(0, 1)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Compute the heatmaps of all N people, the primary first: (B, 3, H, W) to (B, N, K, H/4, W/4)."""
        return self.heatmaps_for(images, self.selectors)

    def needed_heatmaps(self, images: Tensor, with_others: Tensor) -> Tensor:
        """Compute the heatmaps of the primary person of every crop, and of the other people of some crops.

        Args:
            images: normalized crops (B, 3, H, W), H and W multiples of 32.
            with_others: (B,) or (1,), 0 for crops of which only the primary person is computed.

        Returns:
            (B, N, K, H/4, W/4), 0 where nothing is computed.
        """
        crops, instances = images.shape[0], len(self.selectors)
        every = torch.arange(crops, device=images.device)
        chosen = (torch.ones_like(every) * with_others).nonzero()[:, 0]
        crop = torch.cat([every] + [chosen] * (instances - 1))
        person = torch.cat([every * 0] + [chosen * 0 + number for number in range(1, instances)])
        maps = [torch.cat([x] + [x[chosen]] * (instances - 1)) for x in self.trunk(images)]
        found = self._after_trunk(maps, self.selectors[person])
        heatmaps: Tensor = found.new_zeros(instances * crops, *found.shape[1:])
        heatmaps = heatmaps.index_put((person * crops + crop,), found)
        return heatmaps.reshape(instances, crops, *found.shape[1:]).transpose(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The same as :meth:`heatmaps`; in training mode, what the loss takes."""
        return self.heatmaps(images)

    def _after_trunk(self, maps: list[Tensor], selectors: Tensor) -> Tensor:
        """The trunk's maps of R people and their selectors (R, N) to heatmaps (R, K, H/4, W/4)."""
        maps = _modulate(maps, self.modulation[self.first_site], selectors)
        rest = slice(self.first_site + 1, None)
        for step, blocks in zip(self.steps()[rest], self.modulation[rest], strict=True):
            maps = _modulate(step(maps), blocks, selectors)
        heatmaps: Tensor = self.head(self.backbone.finish(maps))
        return heatmaps


def _modulate(maps: list[Tensor], blocks: nn.Module, selectors: Tensor) -> list[Tensor]:
    """Each map through its block; all as they are where a site has no blocks."""
    assert isinstance(blocks, nn.ModuleList)
    return [block(x, selectors) for block, x in zip(blocks, maps, strict=True)] if len(blocks) else maps


def initialize(network: MIPNet, std: float = 0.001) -> None:
    """The released initialization of the blocks, so small in HRNet that each one starts as a factor of a quarter.

    Args:
        network: MIPNet on HRNet, whose blocks get weights from N(0, std^2) and biases 0. On ResNet the blocks keep
            the framework's weights.
        std: standard deviation of the weights.

    >>> from everypose.backbones.hrnet import HRNet
    >>> from everypose.methods.top_down.baselines import HRNetPose
    >>> network = MIPNet(HRNetPose(HRNet(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1, outputs=1), keypoints=17))
    >>> initialize(network)
    """
    if not isinstance(network.backbone, HRNet):
        return
    for module in network.modulation.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
