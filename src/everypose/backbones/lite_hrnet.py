"""Lite-HRNet in its "wider naive" form: HRNet's parallel branches built of shuffle units (Yu et al., CVPR 2021).

The layers and sums are those of the network that PaddleDetection publishes as PP-TinyPose. Batch normalization is
folded into the convolutions, as in the published files, so that small training batches do no harm.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.backbones.backbone import Step, SteppedBackbone

STEM = 32
UNITS = 2
"""Shuffle units of a branch in each module."""


class Separable(nn.Sequential):
    """A depthwise 3x3 convolution with the stride, and a 1x1 convolution.

    >>> import torch
    >>> Separable(8, 4, stride=2)(torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 4, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs), nn.Conv2d(inputs, outputs, 1))


class Stem(nn.Module):
    """Images to stride 4: a strided 3x3 convolution, then two strided paths of half the channels each.

    >>> import torch
    >>> Stem().eval()(torch.zeros(1, 3, 64, 32)).shape
    torch.Size([1, 32, 16, 8])
    """

    def __init__(self) -> None:
        super().__init__()
        half = STEM // 2
        self.conv = nn.Conv2d(3, STEM, 3, stride=2, padding=1)
        self.short = Separable(half, half, stride=2)
        self.expand = nn.Conv2d(half, STEM, 1)
        self.long = Separable(STEM, half, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, 3, H, W) to (B, 32, H/4, W/4)."""
        x, half = F.relu(self.conv(images)), STEM // 2
        short = F.relu(self.short(x[:, :half]))
        long = F.relu(self.long(F.relu(self.expand(x[:, half:]))))
        return shuffle(short, long)


class ShuffleUnit(nn.Module):
    """Half of the channels pass unchanged; the others go through 1x1, depthwise 3x3 and 1x1 convolutions.

    >>> import torch
    >>> ShuffleUnit(8).eval()(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kept = half = channels // 2
        self.conv = nn.Conv2d(half, half, 1)
        self.separable = Separable(half, half)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        changed = F.relu(self.separable(F.relu(self.conv(x[:, self.kept :]))))
        return shuffle(x[:, : self.kept], changed)


class Fusion(nn.Module):
    """Each branch's sum of all branches, brought to its resolution.

    As in the published network, the finest branch counts twice in every sum, and the coarser sums take it after its
    own fusion, before the ReLU. Coarser branches are added from the coarsest on, each sum doubled in size: the same as
    enlarging each of them, since the nearest cell is repeated, with fewer sums of large maps.

    >>> import torch
    >>> [maps.shape for maps in Fusion((8, 16)).eval()([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)])]
    [torch.Size([1, 8, 8, 8]), torch.Size([1, 16, 4, 4])]
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        branches = range(len(widths))
        self.up = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(widths[source], widths[target], 1) for source in branches[target + 1 :])
            for target in branches
        )
        self.down = nn.ModuleList(
            nn.ModuleList(_down(widths, source, target) for source in branches[:target]) for target in branches
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One map per branch in, one per branch out, of the same shapes."""
        maps = list(maps)
        fused: list[Tensor] = []
        for target, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            assert isinstance(up, nn.ModuleList)
            assert isinstance(down, nn.ModuleList)
            converted = [path(x) for path, x in zip(down, maps[:target], strict=True)]
            if len(up) > 0:
                converted.append(_enlarged_sum([conv(x) for conv, x in zip(up, maps[target + 1 :], strict=True)]))
            if target == 0:
                maps[0] = 2 * maps[0] + converted[0]
                fused.append(F.relu(maps[0]))
            else:
                finest, *rest = converted
                fused.append(F.relu(maps[target] + sum(rest, 2 * finest)))
        return fused


def _enlarged_sum(maps: list[Tensor]) -> Tensor:
    """Sum of maps, each half the size of the one before, at twice the size of the first."""
    total = maps[-1]
    for finer in maps[-2::-1]:
        total = finer + F.interpolate(total, scale_factor=2.0, mode="nearest")
    return F.interpolate(total, scale_factor=2.0, mode="nearest")


def _down(widths: tuple[int, ...], source: int, target: int) -> nn.Sequential:
    """The path from a finer branch to a coarser one: strided separable convolutions, a ReLU between two of them."""
    layers: list[nn.Module] = []
    for step in range(source + 1, target + 1):
        last = step == target
        layers.append(Separable(widths[source], widths[target] if last else widths[source], stride=2))
        if not last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Module(nn.Module):
    """Shuffle units in every branch, then the fusion.

    >>> import torch
    >>> [maps.shape for maps in Module((8, 16)).eval()([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)])]
    [torch.Size([1, 8, 8, 8]), torch.Size([1, 16, 4, 4])]
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(ShuffleUnit(width) for _ in range(UNITS))) for width in widths)
        self.fusion = Fusion(widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One map per branch in, one per branch out, of the same shapes."""
        fused: list[Tensor] = self.fusion([units(x) for units, x in zip(self.branches, maps, strict=True)])
        return fused


class Decoder(nn.Module):
    """From the coarsest branch to the finest: a separable convolution each, doubled in size and added to the next.

    >>> import torch
    >>> Decoder((8, 16)).eval()([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)]).shape
    torch.Size([1, 8, 8, 8])
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        coarse_first = widths[::-1]
        self.steps = nn.ModuleList(
            Separable(inputs, outputs)
            for inputs, outputs in zip(coarse_first, (*coarse_first[1:], widths[0]), strict=True)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps at strides 4, 8, 16 and 32 to (B, width, H/4, W/4)."""
        x = F.relu(self.steps[0](maps[-1]))
        for step, finer in zip(self.steps[1:], maps[-2::-1], strict=True):
            larger = F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=True)
            x = F.relu(step(finer + larger))
        return x


class LiteHRNet(SteppedBackbone):
    """Four branches at strides 4 to 32 of ``width``, twice, four and eight times as many channels.

    Args:
        width: channels of the finest branch, a multiple of 4.
        modules: how many modules stages 2, 3 and 4 have.

    Example:
        >>> import torch
        >>> LiteHRNet()(torch.zeros(1, 3, 256, 192)).shape
        torch.Size([1, 40, 64, 48])
    """

    def __init__(self, width: int = 40, modules: tuple[int, int, int] = (2, 4, 2)) -> None:
        super().__init__()
        self.channels = width
        widths = tuple(width * 2**branch for branch in range(4))
        self.step_widths = (list(widths[:2]), list(widths[:3]), list(widths), [width])
        self.stem = Stem()
        self.transitions = nn.ModuleList(
            [Separable(STEM, widths[0]), *(Separable(before, after, 2) for before, after in
                                           zip((STEM, *widths[1:3]), widths[1:], strict=True))]
        )  # fmt: skip
        self.stages = nn.ModuleList(
            nn.Sequential(*(Module(widths[: stage + 2]) for _ in range(count))) for stage, count in enumerate(modules)
        )
        self.decoder = Decoder(widths)

    def steps(self) -> list[Step]:
        """The parts whose outputs MIPNet may modulate: the inputs of stages 2, 3 and 4, and the decoder's output."""
        return [self._first, *(self._to_next(stage) for stage in (0, 1)), self._last]

    def finish(self, maps: list[Tensor]) -> Tensor:
        """The last step's only map."""
        return maps[0]

    def _first(self, maps: list[Tensor]) -> list[Tensor]:
        """Images to the two branches of stage 2."""
        x = self.stem(maps[0])
        return [F.relu(transition(x)) for transition in self.transitions[:2]]

    def _to_next(self, stage: int) -> Step:
        """One stage, and the branch that the next one adds."""

        def step(maps: list[Tensor]) -> list[Tensor]:
            maps = self.stages[stage](maps)
            return [*maps, F.relu(self.transitions[stage + 2](maps[-1]))]

        return step

    def _last(self, maps: list[Tensor]) -> list[Tensor]:
        """Stage 4 and the decoder."""
        return [self.decoder(self.stages[2](maps))]


def shuffle(first: Tensor, second: Tensor) -> Tensor:
    """Interleave the channels of two maps (B, C, H, W): (B, 2C, H, W), the first map's at even places.

    >>> import torch
    >>> first, second = torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    >>> shuffle(first, second).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    _, channels, height, width = (int(size) for size in first.shape)  # numbers that an exported graph need not compute
    return torch.stack([first, second], dim=2).reshape(-1, 2 * channels, height, width)
