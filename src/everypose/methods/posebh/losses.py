"""PoseBH's losses on one data set's part of a batch: heatmaps, prototype contrast and distance, prototype heatmaps."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from everypose.methods.posebh.prototypes import Prototypes, prototype_heatmaps, recognised, similarity
from everypose.methods.posebh.sinkhorn import Assignment, assign
from everypose.methods.posebh.targets import Target
from everypose.methods.top_down.losses import joints_mse


@dataclass(frozen=True)
class LossSettings:
    """Weights and limits; the defaults are those of the published training on six data sets.

    ``prototype`` weighs ``contrast`` (PPC) and ``distance`` (PPD) together, ``prototype_heatmap`` the error of the
    prototype heatmaps, ``cross_type`` and ``clusters`` all of their terms.
    ``threshold``: pixels with a higher ground truth heatmap belong to a keypoint.
    ``pixel_weight``: what a recognised pixel counts when its prototype moves, its heatmap's value or 1.
    ``momentum``: of the prototypes. ``peak`` and ``match``: heatmap and prototype heatmap agree on a keypoint where
    both are higher than ``peak`` and their peaks at most ``match`` heatmap pixels apart.
    """

    prototype: float = 1.25e-5
    contrast: float = 0.01
    distance: float = 0.001
    prototype_heatmap: float = 3.33e-6
    cross_type: float = 1e-3
    clusters: float = 0.01
    threshold: float = 0.0
    pixel_weight: Literal["confidence", "equal"] = "confidence"
    momentum: float = 0.999
    peak: float = 0.25
    match: float = 2.1


def heatmap_loss(heatmaps: Tensor, target: Target) -> Tensor:
    """Mean squared error of a head over the WHOLE batch: other data sets' samples count as faultless.

    So a data set weighs as much as its share of the batch. The keypoints' weights scale heatmaps, hence count squared.

    Args:
        heatmaps: (B, K, h, w), the head's for all samples.
        target: of the head's own data set.
    """
    own = joints_mse(heatmaps[target.rows], target.heatmaps, target.weights, per_sample=True)
    return own.sum() / len(heatmaps)


class PrototypeLosses(NamedTuple):
    """Weighted losses of a data set's samples, and what they were computed from."""

    prototype: Tensor
    prototype_heatmap: Tensor
    assignment: Assignment
    recognised: Tensor


def prototype_losses(
    embedding: Tensor, target: Target, prototypes: Prototypes, dataset: int, settings: LossSettings
) -> PrototypeLosses:
    """PPC, PPD and the prototype heatmaps' error over a data set's own samples; at least one.

    Both are 0 where no pixel belongs to a keypoint.

    Args:
        embedding: (n, D, h, w) of the samples of ``target``.
        target: the data set's part of the batch.
        prototypes: the bank.
        dataset: the data set's number.
        settings: weights and threshold.
    """
    alike = similarity(embedding, prototypes.of(dataset))
    assignment = assign(alike, target.heatmaps, settings.threshold)
    error = joints_mse(prototype_heatmaps(alike), target.heatmaps, target.weights)
    return PrototypeLosses(
        pixel_prototype_loss(alike.flatten(1, 2), assignment.prototype, assignment.kept, settings),
        settings.prototype_heatmap * error * assignment.kept.any(),
        assignment,
        recognised(alike, assignment),
    )


def pixel_prototype_loss(similarity: Tensor, prototype: Tensor, kept: Tensor, settings: LossSettings) -> Tensor:
    """Weighted sum of PPC and PPD (Zhou et al., CVPR 2022), means over the kept pixels; 0 if there is none.

    PPC is the cross entropy of choosing the assigned prototype among all, with the absolute cosines as logits and no
    temperature; PPD the squared distance (1 - cosine)^2 to it.

    Args:
        similarity: (B, C, h, w) with all prototypes that may be chosen.
        prototype: (B, h, w), the assigned one, from 0 to C - 1.
        kept: (B, h, w) bool.
        settings: the weights.
    """
    chosen = similarity.gather(1, prototype[:, None])[:, 0]
    contrast = F.cross_entropy(similarity, prototype, reduction="none")
    loss = settings.contrast * contrast + settings.distance * (1 - chosen) ** 2
    return settings.prototype * (loss * kept).sum() / kept.sum().clamp(min=1)
