"""The ground truth of a mixed batch, apart for each data set, rendered on the device."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from everypose.core.geometry import Size
from everypose.methods.posebh.network import DataSet
from everypose.methods.top_down.samples import CropBatch
from everypose.methods.top_down.targets import gaussian_targets

SIGMA = 2.0
STRIDE = 4


@dataclass(frozen=True)
class Target:
    """One data set's part of a batch; it may have no samples.

    ``rows`` (n,) are its samples' numbers in the batch, ``heatmaps`` (n, K, h, w) and ``weights`` (n, K) their truth.

    >>> target = Target(torch.tensor([0, 3]), torch.zeros(2, 17, 64, 48), torch.ones(2, 17))
    >>> len(target.rows) == len(target.heatmaps) == len(target.weights)
    True
    """

    rows: Tensor
    heatmaps: Tensor
    weights: Tensor


def rows_by_dataset(datasets: Sequence[int], count: int) -> tuple[Tensor, ...]:
    """The samples of each of ``count`` data sets, by their numbers in the batch: a tensor (n,) each, maybe empty.

    To be called where batches are put together: then no loss has to ask the device how many samples there are.

    >>> [rows.tolist() for rows in rows_by_dataset([0, 2, 0], count=3)]
    [[0, 2], [], [1]]
    """
    return tuple(
        torch.tensor([i for i, own in enumerate(datasets) if own == d], dtype=torch.long) for d in range(count)
    )


def render_targets(batch: CropBatch[Tensor], rows: Iterable[Tensor], datasets: Sequence[DataSet]) -> list[Target]:
    """Render the heatmaps of a batch, at a quarter of the crops' size, each data set's with its own keypoints.

    Args:
        batch: crops with one person each; keypoints beyond those of a sample's data set are padding and ignored.
        rows: from :func:`rows_by_dataset`, on the batch's device.
        datasets: the network's data sets.

    >>> people = torch.tensor([[16.0, 8.0, 1.0]]).expand(2, 1, 3, 3)  # two crops; up to three keypoints each
    >>> batch = CropBatch(
    ...     images=torch.zeros(2, 32, 32, 3, dtype=torch.uint8), keypoints=people, udp=torch.tensor([True, False]),
    ...     dataset=torch.tensor([0, 1]), keys=("a", "b"),
    ... )
    >>> targets = render_targets(batch, rows_by_dataset([0, 1], 2), [DataSet("one", 3), DataSet("other", 2)])
    >>> [target.heatmaps.shape for target in targets]
    [torch.Size([1, 3, 8, 8]), torch.Size([1, 2, 8, 8])]
    """
    height, width = batch.images.shape[1:3]
    crop_size, heatmap_size = Size(width, height), Size(width // STRIDE, height // STRIDE)
    targets = []
    for own, dataset in zip(rows, datasets, strict=True):
        keypoints = batch.keypoints[own, 0, : dataset.keypoints]
        maps, weights = gaussian_targets(keypoints, crop_size, heatmap_size, SIGMA, batch.udp[own])
        targets.append(Target(own, maps, weights))
    return targets
