"""Attention of each person, with what people share computed once for an image.

CID and BoIR modulate the shared maps F (C channels) by a person's parameter vector in two ways and fuse both by a
1x1 convolution [U V]:  U (a * F) + V (m * F) + b,  with one weight a_c for each channel and one mask m(x, y).
The channel weights fold into the convolution, U (a * F) = (U diag(a)) F, and the mask commutes with it,
V (m * F) = m * (V F), so V F is computed once for an image, or for selected pixels only. The result is the same, with
less than half of the operations.

All N people of an image use one copy of F.
"""

import torch
from torch import Tensor, nn

COORDINATE_SCALE = 32.0


def instance_parameters(feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
    """Read the feature at each person's center, its parameter vector: (B, D, h, w), (P,), (P, 2) to (P, D).

    >>> feature = torch.arange(12.0).reshape(1, 2, 2, 3)
    >>> instance_parameters(feature, torch.tensor([0]), torch.tensor([[1, 2]])).tolist()
    [[5.0, 11.0]]
    """
    return feature[image_index, :, yx[:, 0], yx[:, 1]]


def batched_instance_parameters(feature: Tensor, yx: Tensor) -> Tensor:
    """Read the same for N people in each image: (B, D, h, w), (B, N, 2) to (B, N, D).

    >>> feature = torch.arange(12.0).reshape(1, 2, 2, 3)
    >>> batched_instance_parameters(feature, torch.tensor([[[1, 2], [0, 0]]])).tolist()
    [[[5.0, 11.0], [0.0, 6.0]]]
    """
    position = yx[..., 0] * feature.shape[-1] + yx[..., 1]
    return feature.flatten(2).gather(2, position[:, None].expand(-1, feature.shape[1], -1)).transpose(1, 2)


def spatial_response(shared: Tensor, weights: Tensor, conv: nn.Conv2d, yx: Tensor) -> Tensor:
    """Compute each person's spatial response from weighted shared maps and distances to its center.

    Args:
        shared: (B, C, h, w).
        weights: (B, N, C), one weight for each channel and person.
        conv: 3 channels (sum, x, y) to 1.
        yx: (B, N, 2), each person's center in output pixels.

    Returns:
        (B N, 1, h, w), before normalization.

    >>> conv = nn.Conv2d(3, 1, 5, padding=2)
    >>> spatial_response(torch.zeros(1, 8, 16, 12), torch.zeros(1, 2, 8), conv, torch.zeros(1, 2, 2)).shape
    torch.Size([2, 1, 16, 12])
    """
    height, width = shared.shape[-2:]
    total = torch.unflatten(weights @ shared.flatten(2), 2, (height, width))
    rows = torch.arange(height, device=shared.device)
    columns = torch.arange(width, device=shared.device)
    y = ((yx[..., 0, None] - rows) / COORDINATE_SCALE).to(total)[..., None].expand(-1, -1, -1, width)
    x = ((yx[..., 1, None] - columns) / COORDINATE_SCALE).to(total)[..., None, :].expand(-1, -1, height, -1)
    response: Tensor = conv(torch.stack([total, x, y], dim=2).flatten(0, 1))
    return response


def split_fusion(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the two (C, C) halves of the fusion (2C to C): of the channel path and of the spatial path.

    >>> [half.shape for half in split_fusion(nn.Conv2d(8, 4, 1))]
    [torch.Size([4, 4]), torch.Size([4, 4])]
    """
    channel, spatial = conv.weight.flatten(1).chunk(2, dim=1)
    return channel, spatial


def fold(weight: Tensor, channel: Tensor) -> Tensor:
    """Compute U diag(a) of every person: (C, C), the channel half of the fusion, and (B, N, C) to (B, N, C, C).

    >>> fold(torch.eye(2), torch.tensor([[[3.0, 5.0]]])).tolist()
    [[[[3.0, 0.0], [0.0, 5.0]]]]
    """
    return weight * channel[:, :, None]


def fuse_attention(shared: Tensor, masked: Tensor, folded: Tensor, mask: Tensor) -> Tensor:
    """Fuse the channel path and the spatial path of every person, without the bias.

    Args:
        shared: (B, C, h, w).
        masked: (B, C, h, w), the shared maps after the spatial half of the fusion, before the mask.
        folded: (B, N, C, C), the channel half of the fusion times the channel attention.
        mask: (B N, 1, h, w), spatial attention.

    Returns:
        (B N, C, h, w).

    >>> shared = torch.ones(1, 2, 4, 4)
    >>> fuse_attention(shared, shared, torch.zeros(1, 3, 2, 2), torch.ones(3, 1, 4, 4)).shape
    torch.Size([3, 2, 4, 4])
    """
    people, (height, width) = folded.shape[1], shared.shape[-2:]
    path = torch.unflatten(folded.flatten(1, 2) @ shared.flatten(2), 1, (people, -1))
    through = torch.unflatten(mask.flatten(1), 0, (-1, people))[:, :, None] * masked.flatten(2)[:, None]
    return torch.unflatten((path + through).flatten(0, 1), 2, (height, width))


def keypoint_logits(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply the last 1x1 convolution: maps (B, N, C, h w), weights (B, N or 1, K, C), bias (B, K) to (B, N, K, h w).

    >>> keypoint_logits(torch.zeros(1, 2, 8, 16), torch.zeros(1, 1, 17, 8), torch.zeros(1, 17)).shape
    torch.Size([1, 2, 17, 16])
    """
    return weight @ maps + bias[:, None, :, None]
