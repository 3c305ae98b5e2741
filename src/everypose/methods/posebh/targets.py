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
    """
    height, width = batch.images.shape[1:3]
    crop_size, heatmap_size = Size(width, height), Size(width // STRIDE, height // STRIDE)
    targets = []
    for own, dataset in zip(rows, datasets, strict=True):
        keypoints = batch.keypoints[own, 0, : dataset.keypoints]
        maps, weights = gaussian_targets(keypoints, crop_size, heatmap_size, SIGMA, batch.udp[own])
        targets.append(Target(own, maps, weights))
    return targets
