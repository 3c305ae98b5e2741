"""BoIR's training loss: two heatmap losses, the box loss and the Bbox Mask Loss (section 3.2).

The optional offset loss, meant for small backbones, is not in the paper.
"""

import math

import torch
from torch import Tensor

from everypose.methods.boir.bbox_mask_loss import bbox_mask_loss
from everypose.methods.boir.network import BoIROutputs
from everypose.methods.boir.offset_loss import offset_loss
from everypose.methods.boir.settings import BoIRLosses
from everypose.methods.single_stage.losses import focal_loss
from everypose.methods.single_stage.targets import Targets

EPSILON = 1e-10


def losses(outputs: BoIROutputs, targets: Targets, settings: BoIRLosses) -> dict[str, Tensor]:
    """Return the weighted losses of a batch; training minimizes their sum.

    Each is a mean over pixels or instances; the paper's are also divided by ``settings.divisor``, the offset loss is
    not.

    >>> from everypose.methods.boir.network import BoIROutputs
    >>> from everypose.methods.single_stage.targets import Owners
    >>> multi, single = torch.full((1, 2, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.5)  # one keypoint, and the centers
    >>> outputs = BoIROutputs(multi, torch.ones(1, 4, 8, 8), torch.full((1, 4, 8, 8), 2.0), single)
    >>> truth, image = torch.zeros(1, 2, 8, 8), torch.tensor([0])
    >>> truth[0, :, 4, 4] = 1
    >>> point, box = torch.tensor([[4.0, 4.0]]), torch.tensor([[2.0, 2.0, 4.0, 4.0]])
    >>> owners = Owners(image, point[:, None].long(), torch.tensor([[True]]), point, torch.tensor([4]))
    >>> targets = Targets(
    ...     truth, torch.ones(1, 1, 8, 8), truth[:, :1], torch.ones(1, 1, 1, 1), image, point.long(), box, 1, owners
    ... )
    >>> {name: round(float(value), 2) for name, value in losses(outputs, targets, BoIRLosses()).items()}
    {'multi_heatmap': 0.55, 'single_heatmap': 2.22, 'bbox': 0.01, 'bbox_mask': 0.03}
    """
    count = targets.normalizers
    values = {
        "multi_heatmap": focal_loss(outputs.multi_heatmap, targets.multi_heatmap, targets.loss_mask, count.positives),
        "single_heatmap": focal_loss(
            outputs.instance_heatmaps, targets.instance_heatmaps, targets.instance_mask, count.instance_positives
        ),
        "bbox": bbox_loss(
            outputs.box_distances,
            targets.instance_boxes,
            targets.instance_image,
            targets.instance_yx,
            count=count.box_pixels,
        ),
        "bbox_mask": bbox_mask_loss(
            outputs.embedding,
            targets.instance_boxes,
            targets.instance_image,
            targets.most_instances,
            settings.background,
            count=count.instances,
        ),
    }
    weighted = {name: value * getattr(settings, name) / settings.divisor for name, value in values.items()}
    if settings.offset:
        assert outputs.offsets is not None, "the offset loss needs a backbone that predicts offsets"
        weighted["offset"] = settings.offset * offset_loss(outputs.offsets, targets.owners, count.offset_pixels)
    return weighted


def bbox_loss(
    distances: Tensor, boxes: Tensor, image_index: Tensor, yx: Tensor, *, count: Tensor | None = None
) -> Tensor:
    """CIoU loss of the boxes that the nine pixels around each center predict; those off the map are left out.

    Args:
        distances: (B, 4, h, w) left, top, right, bottom, in output pixels.
        boxes: (I, 4) x, y, width, height of the instances.
        image_index: (I,), each instance's image.
        yx: (I, 2), each instance's center.
        count: the number to divide by, instead of the batch's pixels used.

    Returns:
        The mean over all pixels used; 0 without instances.

    Example:
        >>> distances = torch.full((1, 4, 5, 5), 2.0)
        >>> only_person = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([0]), torch.tensor([[2, 2]])
        >>> float(bbox_loss(distances, *only_person)) < 1
        True
    """
    height, width = distances.shape[-2:]
    step = torch.arange(-1, 2, device=yx.device)
    around = torch.cartesian_prod(step, step)
    pixel = yx[:, None] + around
    on_map = (pixel >= 0).all(-1) & (pixel[..., 0] < height) & (pixel[..., 1] < width)
    row = pixel[..., 0].clamp(0, height - 1)
    column = pixel[..., 1].clamp(0, width - 1)
    left, top, right, bottom = distances.float()[image_index[:, None], :, row, column].unbind(-1)
    predicted = torch.stack([column - left, row - top, column + right, row + bottom], dim=-1)
    x, y, w, h = boxes.to(predicted)[:, None].unbind(-1)
    truth = torch.stack([x, y, x + w, y + h], dim=-1).expand_as(predicted)
    loss = (ciou_loss(predicted, truth) * on_map).sum()
    return loss / (on_map.sum().clamp(min=1) if count is None else count)


def ciou_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """1 - IoU + center distance + aspect ratio (Zheng et al., AAAI 2020): (..., 4) x1 y1 x2 y2 boxes to (...).

    Example:
        >>> box = torch.tensor([0.0, 0.0, 2.0, 2.0])
        >>> round(float(ciou_loss(box + 1, box)), 3)  # an IoU of 1 / 7, centers a third of the diagonal apart
        0.968
    """
    low = torch.maximum(predicted[..., :2], truth[..., :2])
    high = torch.minimum(predicted[..., 2:], truth[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    size, true_size = predicted[..., 2:] - predicted[..., :2], truth[..., 2:] - truth[..., :2]
    iou = shared / (size.prod(-1) + true_size.prod(-1) - shared + EPSILON)
    outer_low = torch.minimum(predicted[..., :2], truth[..., :2])
    outer_high = torch.maximum(predicted[..., 2:], truth[..., 2:])
    diagonal = ((outer_high - outer_low) ** 2).sum(-1) + EPSILON
    middle = ((predicted[..., :2] + predicted[..., 2:] - truth[..., :2] - truth[..., 2:]) ** 2).sum(-1) / 4
    angle = torch.atan(true_size[..., 0] / (true_size[..., 1] + EPSILON)) - torch.atan(
        size[..., 0] / (size[..., 1] + EPSILON)
    )
    aspect = 4 / math.pi**2 * angle**2
    alpha = (aspect / (1 - iou + aspect + EPSILON)).detach()
    return 1 - iou + middle / diagonal + alpha * aspect
