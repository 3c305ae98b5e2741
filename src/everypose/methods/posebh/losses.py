"""PoseBH's losses on one data set's part of a batch: heatmaps, prototype contrast and distance, prototype heatmaps."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from everypose.methods.posebh.prototypes import Prototypes, prototype_heatmaps, recognized, similarity
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.sinkhorn import Assignment, assign
from everypose.methods.posebh.targets import Target
from everypose.methods.top_down.losses import joints_mse


def heatmap_loss(heatmaps: Tensor, target: Target) -> Tensor:
    """Mean squared error of a head over the whole batch, in which samples of other data sets have no error.

    A data set is thus weighted by its share of the batch. Keypoint weights multiply the heatmaps, so that their squares
    enter the loss.

    Args:
        heatmaps: (B, K, h, w), the head's for all samples.
        target: of the head's own data set.

    >>> import torch
    >>> target = Target(torch.tensor([1]), torch.ones(1, 2, 4, 3), torch.ones(1, 2))
    >>> float(heatmap_loss(torch.zeros(2, 2, 4, 3), target))  # the first sample is of another data set
    0.5
    """
    own = joints_mse(heatmaps[target.rows], target.heatmaps, target.weights, per_sample=True)
    return own.sum() / len(heatmaps)


class PrototypeLosses(NamedTuple):
    """Weighted losses of a data set's samples, and what they were computed from.

    >>> import torch
    >>> target = Target(torch.tensor([0]), torch.ones(1, 2, 4, 3), torch.ones(1, 2))
    >>> found = prototype_losses(torch.ones(1, 8, 4, 3), target, Prototypes([2], size=8), 0, PoseBHLosses())
    >>> found.recognized.shape
    torch.Size([1, 4, 3])
    """

    prototype: Tensor
    prototype_heatmap: Tensor
    assignment: Assignment
    recognized: Tensor


def prototype_losses(
    embedding: Tensor, target: Target, prototypes: Prototypes, dataset: int, settings: PoseBHLosses
) -> PrototypeLosses:
    """PPC, PPD and the prototype heatmaps' error over a data set's own samples; at least one.

    Both are 0 where no pixel belongs to a keypoint.

    Args:
        embedding: (n, D, h, w) of the samples of ``target``.
        target: the data set's part of the batch.
        prototypes: the bank.
        dataset: the data set's number.
        settings: weights and threshold.

    >>> import torch
    >>> target = Target(torch.tensor([0]), torch.zeros(1, 2, 4, 3), torch.ones(1, 2))  # no keypoint in sight
    >>> found = prototype_losses(torch.ones(1, 8, 4, 3), target, Prototypes([2], size=8), 0, PoseBHLosses())
    >>> float(found.prototype), float(found.prototype_heatmap)
    (0.0, 0.0)
    """
    alike = similarity(embedding, prototypes.of(dataset))
    assignment = assign(alike, target.heatmaps, settings.threshold)
    error = joints_mse(prototype_heatmaps(alike), target.heatmaps, target.weights)
    return PrototypeLosses(
        pixel_prototype_loss(alike.flatten(1, 2), assignment.prototype, assignment.kept, settings),
        settings.prototype_heatmap * error * assignment.kept.any(),
        assignment,
        recognized(alike, assignment),
    )


def pixel_prototype_loss(similarity: Tensor, prototype: Tensor, kept: Tensor, settings: PoseBHLosses) -> Tensor:
    """Weighted sum of PPC and PPD (Zhou et al., CVPR 2022), means over the kept pixels; 0 if there is none.

    PPC is the cross entropy of choosing the assigned prototype among all, with the absolute cosines as logits and no
    temperature; PPD the squared distance (1 - cosine)^2 to it.

    Args:
        similarity: (B, C, h, w) with all prototypes that may be chosen.
        prototype: (B, h, w), the assigned one, from 0 to C - 1.
        kept: (B, h, w) bool.
        settings: the weights.

    Example:
        >>> import torch
        >>> similarity = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)  # one pixel, two prototypes
        >>> settings = PoseBHLosses(prototype=1.0, contrast=0.0, distance=1.0)
        >>> assigned, kept = torch.ones(1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, dtype=torch.bool)
        >>> float(pixel_prototype_loss(similarity, assigned, kept, settings))
        1.0
    """
    chosen = similarity.gather(1, prototype[:, None])[:, 0]
    contrast = F.cross_entropy(similarity, prototype, reduction="none")
    loss = settings.contrast * contrast + settings.distance * (1 - chosen) ** 2
    return settings.prototype * (loss * kept).sum() / kept.sum().clamp(min=1)
