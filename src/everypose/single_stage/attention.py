"""Per-person attention, folded so that what people share is computed once an image.

CID and BoIR modulate the shared maps F (C channels) by a person's parameter vector in two ways and fuse both by a
1x1 convolution [U V]:  U (a * F) + V (m * F) + b,  with one weight a_c a channel and one mask m(x, y) a person.
The channel weights fold into the convolution, U (a * F) = (U diag(a)) F, and the mask commutes with it,
V (m * F) = m * (V F), so that V F is computed once an image. The result is the same; the work is less than half.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COORDINATE_SCALE = 32.0


def instance_parameters(feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
    """A person's parameter vector is the feature at its centre: (B, D, h, w), (P,), (P, 2) to (P, D)."""
    return feature[image_index, :, yx[:, 0], yx[:, 1]]


def spatial_response(shared: Tensor, weights: Tensor, conv: nn.Conv2d, image_index: Tensor, yx: Tensor) -> Tensor:
    """Where a person may be: the weighted sum of the shared maps and the distance to the centre, through ``conv``.

    Args:
        shared: (B, C, h, w).
        weights: (P, C), one weight a channel and person.
        conv: 3 channels (sum, x, y) to 1.
        image_index: (P,), each person's image.
        yx: (P, 2), each person's centre in output pixels.

    Returns:
        (P, 1, h, w), before normalisation.
    """
    height, width = shared.shape[-2:]
    total = torch.unflatten(weights[:, None] @ shared.flatten(2)[image_index], 2, (height, width))
    rows = torch.arange(height, device=shared.device)
    columns = torch.arange(width, device=shared.device)
    y = ((yx[:, 0, None] - rows) / COORDINATE_SCALE).to(total)[:, None, :, None].expand(-1, -1, -1, width)
    x = ((yx[:, 1, None] - columns) / COORDINATE_SCALE).to(total)[:, None, None, :].expand(-1, -1, height, -1)
    response: Tensor = conv(torch.cat([total, x, y], dim=1))
    return response


def fuse_attention(shared: Tensor, channel: Tensor, mask: Tensor, conv: nn.Conv2d, image_index: Tensor) -> Tensor:
    """Fuse the channel path and the spatial path of every person by the 1x1 convolution ``conv`` (2C to C).

    Args:
        shared: (B, C, h, w).
        channel: (P, C), channel attention.
        mask: (P, 1, h, w), spatial attention.
        conv: its first C input channels belong to the channel path, the rest to the spatial path.
        image_index: (P,), each person's image.

    Returns:
        (P, C, h, w).
    """
    channel_weight, spatial_weight = conv.weight.flatten(1).chunk(2, dim=1)
    once = F.conv2d(shared, spatial_weight[:, :, None, None])
    folded = channel_weight * channel[:, None]
    path: Tensor = folded @ shared.flatten(2)[image_index]
    assert conv.bias is not None
    return torch.unflatten(path, 2, shared.shape[-2:]) + mask * once[image_index] + conv.bias[:, None, None]
