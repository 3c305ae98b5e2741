"""The plain vision transformer of ViTPose (Xu et al., NeurIPS 2022), and the data set experts of ViTPose++ (2023).

Every token attends to every other; there is no class token and no pyramid. With experts, the last rows of each block's
second feed-forward layer belong to the data set that a sample comes from, the rest is shared. Parameter names are those
of the authors' checkpoints.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.errors import UsageError

PATCH = 16
PATCH_PADDING = 2
EXPANSION = 4
INITIAL_STD = 0.02


class Size(NamedTuple):
    """Dimensions of a network size; ``expert_part``: rows of a data set expert, where there are experts.

    >>> SIZES["s"].width, SIZES["s"].depth
    (384, 12)
    """

    width: int
    depth: int
    heads: int
    drop_path: float
    expert_part: int


SIZES = {
    "s": Size(384, 12, 12, 0.1, 192),
    "b": Size(768, 12, 12, 0.3, 192),
    "l": Size(1024, 24, 16, 0.5, 256),
    "h": Size(1280, 32, 16, 0.55, 320),
}


class Attention(nn.Module):
    """Multi-head self-attention.

    >>> import torch
    >>> Attention(width=16, heads=2)(torch.zeros(1, 12, 16)).shape
    torch.Size([1, 12, 16])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same shape."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(query, key, value)
        y: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return y


class FeedForward(nn.Module):
    """Two linear layers; with experts, the second one's last ``part`` outputs are those of the sample's data set.

    >>> import torch
    >>> FeedForward(16, experts=0, part=0)(torch.zeros(1, 12, 16), None).shape
    torch.Size([1, 12, 16])
    """

    def __init__(self, width: int, experts: int, part: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width - part if experts else width)
        self.experts = nn.ModuleList(nn.Linear(EXPANSION * width, part) for _ in range(experts))

    def forward(self, x: Tensor, route: Tensor | None) -> Tensor:
        """(B, N, D) to the same shape; ``route`` (B, experts) is 1 at each sample's expert, or all 0 for none."""
        hidden = F.gelu(self.fc1(x))
        shared: Tensor = self.fc2(hidden)
        if route is None:
            return shared
        weights, biases = zip(*((expert.weight, expert.bias) for expert in self.experts), strict=True)
        # Each sample's layer is a sum over all experts, so that those that no sample uses get a gradient of zero:
        # training on several processes waits for one.
        weight = torch.einsum("be,epd->bpd", route, torch.stack(weights))
        bias = route @ torch.stack(biases)
        return torch.cat([shared, torch.baddbmm(bias[:, None], hidden, weight.mT)], dim=-1)


class DropPath(nn.Module):
    """Stochastic depth: in training, drops a residual branch for a random share ``rate`` of the samples.

    >>> import torch
    >>> DropPath(0.5).eval()(torch.ones(2, 3)).mean().item()  # in evaluation nothing is dropped
    1.0
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to the same shape; branches that stay are scaled up, so that the mean stays."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(keep) / keep)


class Block(nn.Module):
    """Pre-norm transformer block: attention and feed-forward layers, each with a residual connection.

    >>> import torch
    >>> Block(16, heads=2, drop_path=0.0, experts=0, part=0)(torch.zeros(1, 12, 16), None).shape
    torch.Size([1, 12, 16])
    """

    def __init__(self, width: int, heads: int, drop_path: float, experts: int, part: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, experts, part)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, route: Tensor | None) -> Tensor:
        """(B, N, D) to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        y: Tensor = x + self.drop_path(self.mlp(self.norm2(x), route))
        return y


class PatchEmbedding(nn.Module):
    """One token for each patch of 16 x 16 pixels; the image is padded by 2, so that patches overlap its border.

    >>> import torch
    >>> PatchEmbedding(16)(torch.zeros(1, 3, 64, 48)).shape
    torch.Size([1, 16, 4, 3])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH, padding=PATCH_PADDING)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D, H/16, W/16)."""
        patches: Tensor = self.proj(images)
        return patches


class ViT(nn.Module):
    """A plain vision transformer.

    Args:
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads of a block; they share the width.
        drop_path: drop rate of the last block's branches in training; it rises linearly from 0 in the first block.
        image_size: width and height of the images that the position embedding is made for, in pixels; it is resized
            for others.
        experts: number of data sets with an expert each; 0 for none.
        expert_part: outputs of an expert.

    >>> import torch
    >>> ViT(width=16, depth=1, heads=2, image_size=(48, 64)).eval()(torch.zeros(1, 3, 64, 48)).shape
    torch.Size([1, 16, 4, 3])
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        *,
        drop_path: float = 0.3,
        image_size: tuple[int, int] = (192, 256),
        experts: int = 0,
        expert_part: int = 0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(f"a ViT of width {width} cannot be shared by {heads} attention heads")
        if experts and not 0 < expert_part < width:
            raise UsageError(
                f"an expert takes a part of the width {width}, more than 0 and less than all, not {expert_part}"
            )
        self.channels = width
        self.heads = heads
        self.drop_path = drop_path
        self.image_size = image_size
        self.experts = experts
        self.expert_part = expert_part
        self.grid = (image_size[1] // PATCH, image_size[0] // PATCH)
        self.patch_embed = PatchEmbedding(width)
        # The first row stood for the class token of pre-training; here it is added to every token.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(width, heads, rate, experts, expert_part) for rate in rates)
        self.last_norm = nn.LayerNorm(width, eps=1e-6)
        self._initialize()

    def forward(self, images: Tensor, dataset: Tensor | None = None) -> Tensor:
        """The feature of normalized images.

        Args:
            images: (B, 3, H, W), H and W multiples of 16.
            dataset: (B,) index of each sample's expert; one that does not exist gives zeros in the experts' channels.
                Needed if there are experts.

        Returns:
            (B, D, H/16, W/16).
        """
        patches = self.patch_embed(images)
        rows, columns = patches.shape[-2:]
        x = patches.flatten(2).transpose(1, 2) + self._position(rows, columns)
        route = self._route(dataset, x)
        for block in self.blocks:
            x = block(x, route)
        feature: Tensor = self.last_norm(x).transpose(1, 2).unflatten(2, (rows, columns))
        return feature

    def merged(self, expert: int) -> "ViT":
        """Return the plain network with the same output for the data set ``expert``; it shares the other weights."""
        with torch.device("meta"):
            plain = ViT(
                self.channels, len(self.blocks), self.heads, drop_path=self.drop_path, image_size=self.image_size
            )
        state = self.state_dict()
        plain.load_state_dict(merge_expert(state, expert) if self.experts else state, assign=True)
        return plain.train(self.training)

    def _position(self, rows: int, columns: int) -> Tensor:
        """The position embedding (1, rows columns, D) of a grid."""
        everywhere, position = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        if (rows, columns) != self.grid:
            position = resized(position, self.grid, (rows, columns))
        return everywhere + position

    def _route(self, dataset: Tensor | None, x: Tensor) -> Tensor | None:
        if not self.experts:
            return None
        if dataset is None:
            raise ValueError("a ViT with experts needs the data set of each sample")
        return (dataset[:, None] == torch.arange(self.experts, device=x.device)).to(x.dtype)

    def _initialize(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=INITIAL_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)


def resized(position: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Position embeddings (1, N, D) of a grid of (rows, columns), interpolated for another grid.

    >>> import torch
    >>> resized(torch.zeros(1, 12, 8), grid=(4, 3), wanted=(8, 6)).shape
    torch.Size([1, 48, 8])
    """
    maps = position.transpose(1, 2).reshape(1, -1, *grid)
    return F.interpolate(maps, size=wanted, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


def merge_expert(state: Mapping[str, Tensor], expert: int) -> dict[str, Tensor]:
    """The state dict of a ViT with experts as that of a plain one with the expert ``expert`` built in.

    Names may carry any prefix, and other tensors may be among them.

    Raises:
        UsageError: if there is no such expert.

    >>> state = ViT(width=16, depth=1, heads=2, experts=2, expert_part=4).state_dict()
    >>> ViT(width=16, depth=1, heads=2).load_state_dict(merge_expert(state, expert=1))
    <All keys matched successfully>
    """
    merged = {}
    for name, value in state.items():
        if ".mlp.experts." in name:
            continue
        merged[name] = value
        if ".mlp.fc2." in name:
            own = name.replace(".mlp.fc2.", f".mlp.experts.{expert}.")
            if own not in state:
                raise UsageError(f"the network has no expert {expert}: there is no tensor {own}")
            merged[name] = torch.cat([value, state[own]])
    return merged


def spread_to_experts(state: Mapping[str, Tensor], experts: int, part: int) -> dict[str, Tensor]:
    """The state dict of a plain ViT as that of one with experts, all alike: each starts as the last ``part`` rows.

    >>> plain = ViT(width=16, depth=1, heads=2).state_dict()
    >>> spread = spread_to_experts(plain, experts=2, part=4)
    >>> ViT(width=16, depth=1, heads=2, experts=2, expert_part=4).load_state_dict(spread)
    <All keys matched successfully>
    """
    spread = {}
    for name, value in state.items():
        if ".mlp.fc2." not in name:
            spread[name] = value
            continue
        spread[name] = value[:-part]
        for expert in range(experts):
            spread[name.replace(".mlp.fc2.", f".mlp.experts.{expert}.")] = value[-part:].clone()
    return spread
