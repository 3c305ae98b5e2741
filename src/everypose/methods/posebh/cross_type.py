"""Cross-type self-supervision (CSS): a data set's head and its prototypes teach each other on other data sets' images.

There is no ground truth for a keypoint in an image whose data set does not annotate it. Where the peaks of the head's
heatmap and of the prototype heatmap agree, their mean is a pseudo label for both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from everypose.core.geometry import Size
from everypose.methods.posebh.losses import pixel_prototype_loss
from everypose.methods.posebh.prototypes import Prototypes, prototype_heatmaps, similarity
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.sinkhorn import assign
from everypose.methods.posebh.targets import SIGMA
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.targets import gaussian_targets


def cross_type_loss(
    heatmaps: Sequence[Tensor],
    embedding: Tensor,
    rows: Sequence[Tensor],
    prototypes: Prototypes,
    settings: PoseBHLosses,
) -> Tensor:
    """The loss of all data sets, each on the samples of the others.

    Args:
        heatmaps: each head's (B, K, h, w), of all samples.
        embedding: (B, D, h, w), of all samples.
        rows: each data set's samples, (n,) numbers in the batch.
        prototypes: the bank, which this loss does not update.
        settings: weights and limits.

    >>> heads = [torch.zeros(2, 1, 8, 6), torch.zeros(2, 1, 8, 6)]  # two data sets with a keypoint each
    >>> rows = [torch.tensor([0]), torch.tensor([1])]
    >>> bank, embedding = Prototypes([1, 1], size=4), torch.ones(2, 4, 8, 6)
    >>> float(cross_type_loss(heads, embedding, rows, bank, PoseBHLosses()))  # no head has a peak: nothing to learn
    0.0
    """
    total = embedding.new_zeros(())
    for dataset, head in enumerate(heatmaps):
        others = [own for other, own in enumerate(rows) if other != dataset]
        if any(map(len, others)):
            foreign = torch.cat(others)
            alike = similarity(embedding[foreign], prototypes.of(dataset))
            total = total + _agreement_loss(head[foreign], alike, settings)
    return settings.cross_type * total


def _agreement_loss(heatmaps: Tensor, similarity: Tensor, settings: PoseBHLosses) -> Tensor:
    """Heatmaps (F, K, h, w) and similarities (F, K, M, h, w) of foreign samples towards their pseudo labels.

    Both heatmaps and the pixels' embeddings learn, from the samples where at least one keypoint is agreed on. The loss
    is 0 if no pixel belongs to a pseudo label.
    """
    by_prototypes = prototype_heatmaps(similarity)
    labels = pseudo_labels(heatmaps, by_prototypes, settings)
    weighted = labels.heatmaps * labels.weights[..., None, None]
    assignment = assign(similarity, weighted, settings.threshold)
    agreed = (labels.weights > 0).any(1)

    def error(maps: Tensor) -> Tensor:
        each = joints_mse(maps, labels.heatmaps, labels.weights, per_sample=True)
        return (each * agreed).sum() / agreed.sum().clamp(min=1)

    squared = error(heatmaps) + settings.prototype_heatmap * error(by_prototypes)
    pixels = pixel_prototype_loss(similarity.flatten(1, 2), assignment.prototype, assignment.kept, settings)
    return squared * assignment.kept.any() + pixels


class PseudoLabels(NamedTuple):
    """``points`` (F, K, 2) x, y in heatmap pixels; ``heatmaps`` (F, K, h, w); ``weights`` (F, K), 0 where none.

    >>> maps = torch.zeros(1, 2, 8, 6)
    >>> maps[0, 0, 4, 3] = 0.8
    >>> labels = pseudo_labels(maps, maps, PoseBHLosses())
    >>> labels.points.shape, labels.heatmaps.shape
    (torch.Size([1, 2, 2]), torch.Size([1, 2, 8, 6]))
    """

    points: Tensor
    heatmaps: Tensor
    weights: Tensor


@torch.no_grad()
def pseudo_labels(heatmaps: Tensor, by_prototypes: Tensor, settings: PoseBHLosses) -> PseudoLabels:
    """Gaussians at the mean of two heatmaps' keypoints, weighted by their peaks, where the two agree.

    Args:
        heatmaps: (F, K, h, w), the head's.
        by_prototypes: (F, K, h, w), the prototypes'.
        settings: how high and how near two peaks must be.

    >>> head, by_prototypes = torch.zeros(1, 2, 8, 6), torch.zeros(1, 2, 8, 6)
    >>> head[0, :, 4, 3] = 0.8
    >>> by_prototypes[0, 0, 4, 4] = 0.8  # a pixel away
    >>> by_prototypes[0, 1, 0, 0] = 0.8  # elsewhere
    >>> pseudo_labels(head, by_prototypes, PoseBHLosses()).weights.gt(0).tolist()  # only the first is agreed on
    [[True, False]]
    """
    size = Size(heatmaps.shape[-1], heatmaps.shape[-2])
    one, other = heatmaps.amax((2, 3)), by_prototypes.amax((2, 3))
    apart = torch.linalg.vector_norm(_highest(heatmaps) - _highest(by_prototypes), dim=-1)
    agreed = (one > settings.peak) & (other > settings.peak) & (apart <= settings.match)
    exact, nearby = (decode(maps, "udp", size)[..., :2] for maps in (heatmaps, by_prototypes))
    share = (one / (one + other))[..., None]
    points = torch.where(agreed[..., None], share * exact + (1 - share) * nearby, 0.0)
    maps, _ = gaussian_targets(torch.cat([points, agreed[..., None]], dim=-1), size, size, SIGMA, udp=True)
    return PseudoLabels(points, maps, torch.minimum(one, other) * agreed)


def _highest(maps: Tensor) -> Tensor:
    """(F, K, h, w) to (F, K, 2): the column and the row that hold the highest values."""
    column, row = maps.amax(2).argmax(2), maps.amax(3).argmax(2)
    return torch.stack([column, row], dim=-1).to(maps)
