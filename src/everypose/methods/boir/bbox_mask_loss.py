"""The Bbox Mask Loss (BoIR, section 3.2): embeddings agree inside a person's box and differ outside it.

All instances of the batch are computed together, laid out as (image, slot). The number of slots, the largest number of
instances in an image, is known on the CPU, so that nothing waits for the device.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.boir.settings import Background
from everypose.methods.single_stage.losses import instance_slots

BETA = 10.0
SMALLEST_SUPPORT = 1e-5


class _InstanceSlots(NamedTuple):
    """Instances as (image, slot), n slots an image.

    ``valid`` (B, n): an instance whose box is at least two pixels wide and high; ``inside`` (B, n, h w): 1 in its box;
    ``center`` (B, n, E): the embedding at the box's center.
    """

    valid: Tensor
    inside: Tensor
    center: Tensor


def bbox_mask_loss(
    embedding: Tensor,
    boxes: Tensor,
    image_index: Tensor,
    most: int,
    background: Background = "both",
    *,
    count: Tensor | None = None,
) -> Tensor:
    """In-box pull, out-box push and instance push, divided by the number of instances.

    Args:
        embedding: (B, E, h, w), not normalized.
        boxes: (I, 4) x, y, width, height in output pixels.
        image_index: (I,) ascending, each instance's image.
        most: the largest number of instances in one image.
        background: what the instances are pushed from. "instance": each from the mean outside its own box;
            "image": all from one mean outside every box, without the pull, as the published recipes do;
            "both": the paper's full loss, the image's background with the pull.
        count: the number to divide by, instead of the batch's instances.

    Returns:
        A scalar; 0 without instances.

    Example:
        >>> embedding = torch.zeros(1, 2, 4, 4)
        >>> embedding[:, 1], embedding[:, 0, :2, :2] = 1, 1
        >>> boxes, image_index = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([0])
        >>> bbox_mask_loss(embedding, boxes, image_index, 1).shape
        torch.Size([])
    """
    unit = F.normalize(embedding.float(), dim=1).flatten(2).transpose(1, 2)
    layout = _lay_out(unit, boxes, image_index, most, embedding.shape[-2], embedding.shape[-1])
    if background == "instance":
        loss = _in_box_pull_and_out_box_push(unit, layout) + _instance_push(layout.center, layout.valid)
    else:
        outside_all = 1 - (layout.inside * layout.valid[..., None]).amax(dim=1, keepdim=True)
        center = torch.cat([layout.center, _mean(unit, outside_all)], dim=1)
        there = layout.valid.any(dim=1, keepdim=True) & (outside_all.sum(dim=-1) > 0)
        loss = _instance_push(center, torch.cat([layout.valid, there], dim=1))
        if background == "both":
            loss = loss + _own_embedding_and_pull(unit, layout)[1].sum()
    return loss / (max(len(boxes), 1) if count is None else count)


def _lay_out(unit: Tensor, boxes: Tensor, image_index: Tensor, most: int, height: int, width: int) -> _InstanceSlots:
    """Spread instances over (image, slot) and mark the pixels of their boxes."""
    images, most = len(unit), max(most, 1)
    boxes = boxes.to(unit)
    slot = instance_slots(image_index, images)
    x, y, w, h = boxes.unbind(-1)
    x1, x2 = ((edge.trunc() + step).clamp(0, width - 1) for edge, step in ((x, -1), (x + w, 1)))
    y1, y2 = ((edge.trunc() + step).clamp(0, height - 1) for edge, step in ((y, -1), (y + h, 1)))
    column = torch.arange(width, device=unit.device)
    row = torch.arange(height, device=unit.device)
    in_columns = (column >= x1[:, None]) & (column < x2[:, None])
    in_rows = (row >= y1[:, None]) & (row < y2[:, None])
    inside = unit.new_zeros(images, most, height * width)
    inside[image_index, slot] = (in_rows[:, :, None] & in_columns[:, None, :]).flatten(1).to(unit)
    valid = torch.zeros(images, most, dtype=torch.bool, device=unit.device)
    valid[image_index, slot] = (x2 - x1 >= 2) & (y2 - y1 >= 2)
    center_x = (x + w / 2).floor().clamp(0, width - 1).long()
    center_y = (y + h / 2).floor().clamp(0, height - 1).long()
    center = unit.new_zeros(images, most, unit.shape[-1])
    center = center.index_put((image_index, slot), unit[image_index, center_y * width + center_x])
    return _InstanceSlots(valid, inside, center)


def _mean(unit: Tensor, weight: Tensor) -> Tensor:
    """Weighted means of the pixels: (B, h w, E), (B, n, h w) to (B, n, E); 0 where all weights are 0."""
    total = weight.sum(dim=-1, keepdim=True)
    return (weight @ unit) / torch.where(total > 0, total, 1)


def _own_embedding_and_pull(unit: Tensor, layout: _InstanceSlots) -> tuple[Tensor, Tensor]:
    """Each instance's own embedding (c + m) / 2 (B, n, E), and the pull of its center c and box mean m (B, n)."""
    with torch.no_grad():
        distance = (layout.center**2).sum(-1)[..., None] + (unit**2).sum(-1)[:, None] - 2 * layout.center @ unit.mT
        similarity = torch.exp(-BETA * distance) * layout.inside
        similarity = similarity / similarity.amax(dim=-1, keepdim=True).clamp(min=1)
        supported = similarity.sum(dim=-1) >= SMALLEST_SUPPORT
    mean = torch.where(supported[..., None], _mean(unit, similarity), layout.center)
    own = (layout.center + mean) / 2
    pull = ((layout.center - own) ** 2 + (mean - own) ** 2).mean(dim=-1)
    return own, pull * layout.valid


def _in_box_pull_and_out_box_push(unit: Tensor, layout: _InstanceSlots) -> Tensor:
    """The in-box pull of each instance, and its out-box push from the mean outside its box; summed."""
    own, pull = _own_embedding_and_pull(unit, layout)
    outside = _mean(unit, 1 - layout.inside)
    # The instance push of the pair (own, outside): two diagonal terms exp(0) and both orders of the pair, times 1 / 2.
    push = 1 + torch.exp(-BETA * ((own - outside) ** 2).mean(dim=-1))
    return (pull + push * layout.valid).sum()


def _instance_push(vectors: Tensor, valid: Tensor) -> Tensor:
    """The instance push of valid vectors: (B, n, E), (B, n) to a scalar; the diagonal counts, as released."""
    distance = ((vectors[:, :, None] - vectors[:, None]) ** 2).mean(dim=-1)
    pairs = valid[:, :, None] & valid[:, None]
    count = valid.sum(dim=1)
    push = (torch.exp(-BETA * distance) * pairs).sum(dim=(1, 2))
    return (push * 0.5 / (count - 1).clamp(min=1) * (count > 1)).sum()
