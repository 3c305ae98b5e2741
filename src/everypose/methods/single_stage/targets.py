"""Training targets, rendered on the device from the arrays of a batch (CID, section 3; radii as CornerNet's)."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from everypose.methods.single_stage.counts import OF_THE_BATCH, VISIBLE, Normalizers, mean_over_step
from everypose.methods.single_stage.samples import ImageBatch

# The square root of a person's area is about this times the radius of its Gaussians (the median on COCO is 2.9).
SIZE_OF_RADIUS = 3


class Owners(NamedTuple):
    """The visible keypoints of a batch's M people and the people that they belong to, in output pixels.

    Attributes:
        image: (M,) int64, each person's image.
        xy: (M, K, 2) int64, each keypoint's pixel.
        visible: (M, K) bool: visible in the image, and of a person large enough to be found.
        center: (M, 2) x, y of each person.
        size: (M,), about the square root of each person's area.

    >>> owners = Owners(
    ...     image=torch.tensor([0]), xy=torch.tensor([[[3, 4], [0, 0]]]), visible=torch.tensor([[True, False]]),
    ...     center=torch.tensor([[3.0, 4.0]]), size=torch.tensor([6]),
    ... )
    >>> owners.xy[owners.visible].tolist()  # the pixels that show their owner
    [[3, 4]]
    """

    image: Tensor
    xy: Tensor
    visible: Tensor
    center: Tensor
    size: Tensor


@dataclass(frozen=True)
class Targets:
    """The ground truth of a batch.

    Attributes:
        multi_heatmap: (B, K + 1, h, w), the centers last.
        loss_mask: (B, 1, h, w). Pixels that are 0 are ignored.
        instance_heatmaps: (I, K, h, w).
        instance_mask: (I, K, 1, 1), 0 for unlabeled keypoints.
        instance_image: (I,), as in :class:`ImageBatch`.
        instance_yx: (I, 2), as in :class:`ImageBatch`.
        instance_boxes: (I, 4), as in :class:`ImageBatch`.
        most_instances: as in :class:`ImageBatch`.
        owners: the people that visible keypoints belong to.
        normalizers: what the losses are divided by; each divides by its own pixels or instances where it is None.

    >>> one, point = torch.tensor([0]), torch.tensor([[3.0, 4.0]])
    >>> owners = Owners(one, point[:, None].long(), torch.tensor([[True]]), point, torch.tensor([6]))
    >>> targets = Targets(
    ...     torch.zeros(1, 2, 16, 16), torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 1, 1),
    ...     one, torch.tensor([[4, 3]]), torch.tensor([[1.0, 2.0, 4.0, 6.0]]), 1, owners,
    ... )
    >>> targets.normalizers.instances is None  # each loss divides by the number of its own pixels or instances
    True
    """

    multi_heatmap: Tensor
    loss_mask: Tensor
    instance_heatmaps: Tensor
    instance_mask: Tensor
    instance_image: Tensor
    instance_yx: Tensor
    instance_boxes: Tensor
    most_instances: int
    owners: Owners
    normalizers: Normalizers = OF_THE_BATCH


def gaussians(points: Tensor, drawn: Tensor, radius: Tensor, height: int, width: int) -> Tensor:
    """Render Gaussian peaks: 1 at the truncated point, 0 beyond ``radius`` on either axis, sigma (2 radius + 1) / 6.

    Args:
        points: (M, J, 2) x, y in output pixels.
        drawn: (M, J) bool; a point that is not drawn, or is outside, gives a map of zeros.
        radius: (M,), output pixels.
        height: rows of the map.
        width: columns of the map.

    Returns:
        (M, J, height, width) float32.

    >>> points, drawn = torch.tensor([[[2.0, 1.0]]]), torch.tensor([[True]])
    >>> gaussians(points, drawn, torch.tensor([1]), height=3, width=4)[0, 0].mul(100).round().int().tolist()
    [[0, 2, 14, 2], [0, 14, 100, 14], [0, 2, 14, 2]]
    """
    peak = points.trunc()
    inside = (peak >= 0).all(-1) & (peak[..., 0] < width) & (peak[..., 1] < height)
    spread = 2 * ((2 * radius + 1) / 6)[:, None, None] ** 2

    def along(axis: Tensor, length: int) -> Tensor:
        distance = torch.arange(length, device=points.device) - axis[..., None]
        return torch.exp(-(distance**2) / spread) * (distance.abs() <= radius[:, None, None])

    columns = along(peak[..., 0], width)
    rows = along(peak[..., 1], height) * (drawn & inside)[..., None]
    return rows[..., :, None] * columns[..., None, :]


def render_targets(batch: ImageBatch[Tensor]) -> Targets:
    """Render the heatmaps of a batch: all people's keypoints and centers in one, and each instance's own.

    >>> one = torch.tensor([0])
    >>> batch = ImageBatch(
    ...     images=torch.zeros(1, 64, 64, 3, dtype=torch.uint8), loss_mask=torch.ones(1, 1, 16, 16), person_image=one,
    ...     keypoints=torch.tensor([[[3.0, 4.0, 2.0]]]), radius=torch.tensor([2]), center=torch.tensor([[5.0, 5.0]]),
    ...     center_drawn=torch.tensor([True]), instance_image=one, instance_person=one,
    ...     instance_yx=torch.tensor([[5, 5]]), instance_boxes=torch.ones(1, 4), most_instances=1, keys=("a.jpg",),
    ... )
    >>> targets = render_targets(batch)
    >>> targets.multi_heatmap.shape, (targets.multi_heatmap == 1).nonzero().tolist()  # peaks: map, y, x
    (torch.Size([1, 2, 16, 16]), [[0, 0, 4, 3], [0, 1, 5, 5]])
    """
    height, width = batch.loss_mask.shape[-2:]
    points = torch.cat([batch.keypoints[..., :2], batch.center[:, None]], dim=1)
    labeled = batch.keypoints[..., 2] > 0
    drawn = torch.cat([labeled, batch.center_drawn[:, None]], dim=1)
    maps = gaussians(points, drawn, batch.radius, height, width)
    multi = maps.new_zeros(len(batch.images), *maps.shape[1:])
    index = batch.person_image[:, None, None, None].expand_as(maps)
    multi.scatter_reduce_(0, index, maps, "amax")
    return Targets(
        multi_heatmap=multi,
        loss_mask=batch.loss_mask.to(maps),
        instance_heatmaps=maps[batch.instance_person, :-1],
        instance_mask=labeled[batch.instance_person].to(maps)[..., None, None],
        instance_image=batch.instance_image,
        instance_yx=batch.instance_yx,
        instance_boxes=batch.instance_boxes,
        most_instances=batch.most_instances,
        owners=_owners(batch),
        normalizers=OF_THE_BATCH if batch.counts is None else mean_over_step(batch.counts, maps.device),
    )


def _owners(batch: ImageBatch[Tensor]) -> Owners:
    """Return the owners of visible keypoints; the pixel of a hidden one shows another person."""
    return Owners(
        image=batch.person_image,
        xy=batch.keypoints[..., :2].round().long(),
        visible=(batch.keypoints[..., 2] == VISIBLE) & batch.center_drawn[:, None],
        center=batch.center,
        size=SIZE_OF_RADIUS * batch.radius.clamp(min=1),
    )
