"""What the losses of a training step are means over: counted in the loader, summed over batches and processes.

A loss of an optimizer step is the sum over all its samples, divided by the number of positives, instances or pixels in
all of them. If each batch of a step divided by its own number, people in batches with few people would weigh more, and
several batches or processes would not give the gradient of one large batch. So the numbers are counted before the
forward pass, from the arrays that the targets are rendered from.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from everypose.core.arrays import Float32, Int64, Mask

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from everypose.methods.single_stage.samples import ImageBatch

VISIBLE = 2
"""COCO's visibility of a keypoint that is visible, not only labeled."""
_AROUND = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(9, 2)


class LossCounts(NamedTuple):
    """Numbers of one or more batches of a process.

    Attributes:
        batches: number of batches.
        positives: pixels of the heatmap of all people that are 1 and not ignored.
        instance_positives: the same for the instances' own heatmaps.
        instances: number of instances.
        box_pixels: pixels around the instances' centers, at most nine each, that are on the map.
        offset_pixels: the same around each visible keypoint.
    """

    batches: int
    positives: int
    instance_positives: int
    instances: int
    box_pixels: int
    offset_pixels: int

    @classmethod
    def total(cls, counts: Sequence[Self]) -> Self:
        """Return the sum over batches.

        >>> LossCounts.total([LossCounts(1, 3, 2, 1, 9, 8), LossCounts(1, 4, 4, 2, 18, 20)])
        LossCounts(batches=2, positives=7, instance_positives=6, instances=3, box_pixels=27, offset_pixels=28)
        """
        return cls(*(sum(column) for column in zip(*counts, strict=True)))


class Normalizers(NamedTuple):
    """What each loss of a batch is divided by: scalars, or None for the batch's own numbers.

    Attributes:
        positives: as in `LossCounts`, a mean over the batches of the step.
        instance_positives: as in `LossCounts`.
        instances: as in `LossCounts`.
        box_pixels: as in `LossCounts`.
        offset_pixels: as in `LossCounts`.

    >>> Normalizers().positives is None
    True
    """

    positives: "Tensor | None" = None
    instance_positives: "Tensor | None" = None
    instances: "Tensor | None" = None
    box_pixels: "Tensor | None" = None
    offset_pixels: "Tensor | None" = None


OF_THE_BATCH = Normalizers()
"""Each loss is divided by the batch's own numbers."""


def count(batch: "ImageBatch[Any]") -> LossCounts:
    """Count what the losses of one batch of numpy arrays are means over.

    >>> from everypose.methods.single_stage.samples import ImageBatch
    >>> one = np.array([0])
    >>> batch = ImageBatch(
    ...     images=np.zeros((1, 64, 64, 3), np.uint8), loss_mask=np.ones((1, 1, 16, 16), bool), person_image=one,
    ...     keypoints=np.array([[[3.0, 4.0, 2.0], [0.0, 0.0, 0.0]]]), radius=one, center=np.array([[3.0, 4.0]]),
    ...     center_drawn=np.array([True]), instance_image=one, instance_person=one, instance_yx=np.array([[4, 3]]),
    ...     instance_boxes=np.ones((1, 4)), most_instances=1, keys=("a.jpg",),
    ... )
    >>> count(batch)  # a labeled keypoint and the center of one person
    LossCounts(batches=1, positives=2, instance_positives=1, instances=1, box_pixels=9, offset_pixels=9)
    """
    keypoints, loss_mask = batch.keypoints, batch.loss_mask
    size = np.array(loss_mask.shape[:1:-1])
    labeled = keypoints[..., 2] > 0
    peaks = np.concatenate([keypoints[..., :2], batch.center[:, None]], axis=1)
    drawn = np.concatenate([labeled, batch.center_drawn[:, None]], axis=1) & _on_map(np.trunc(peaks), size)
    person, kind = np.nonzero(drawn)
    x, y = peaks[person, kind].astype(np.int64).T
    pixels = np.unique(np.stack([batch.person_image[person], kind, y, x], axis=1), axis=0)
    visible = (keypoints[..., 2] == VISIBLE) & batch.center_drawn[:, None]
    return LossCounts(
        batches=1,
        positives=int(loss_mask[pixels[:, 0], 0, pixels[:, 2], pixels[:, 3]].sum()),
        instance_positives=int(drawn[batch.instance_person, :-1].sum()),
        instances=len(batch.instance_person),
        box_pixels=int(_on_map(batch.instance_yx[:, None, ::-1] + _AROUND, size).sum()),
        offset_pixels=int(_on_map(np.round(keypoints[visible][:, None, :2]) + _AROUND, size).sum()),
    )


def _on_map(points: Float32 | Int64, size: Int64) -> Mask:
    """Return whether points (..., 2) x, y are pixels of a map of (width, height)."""
    return np.asarray(((points >= 0) & (points < size)).all(axis=-1))


def mean_over_step(counts: LossCounts, device: "torch.device") -> Normalizers:
    """Return the means over all batches of the step in all processes, at least one in total each.

    Processes and batches of a step are averaged: with these means as divisors, the average is the loss of all samples
    in one batch.

    Args:
        counts: of this process's batches of the step.
        device: of the processes' communication.

    >>> import torch
    >>> counts = LossCounts(2, positives=30, instance_positives=20, instances=6, box_pixels=54, offset_pixels=90)
    >>> [float(value) for value in mean_over_step(counts, torch.device("cpu"))]
    [15.0, 10.0, 3.0, 27.0, 45.0]
    """
    import torch

    totals = torch.tensor(counts, dtype=torch.float32).to(device, non_blocking=True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(totals)
    return Normalizers(*(totals[1:].clamp(min=1) / totals[0]).unbind())
