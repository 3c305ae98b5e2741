"""Clustered prototypes: neighboring prototypes of any data sets stand for one common keypoint.

This is part of the released code, but not of the abstract, and off by default: with the released weights the loss is
about 5e-9. The released code chooses among 64, 96 and 128 clusters by errors that are rounding noise; here the number
is a setting.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.posebh.losses import pixel_prototype_loss
from everypose.methods.posebh.prototypes import prototype_heatmaps, similarity
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.sinkhorn import assign
from everypose.methods.posebh.targets import Target
from everypose.methods.top_down.losses import joints_mse

SHARPNESS = 20.0


class Clusters(NamedTuple):
    """C clusters of prototypes.

    Attributes:
        prototypes: (C, M, D), the M prototypes nearest to each center.
        keypoint: (C,), the keypoint of the nearest one.
    """

    prototypes: Tensor
    keypoint: Tensor


@torch.no_grad()
def cluster_prototypes(prototypes: Tensor, count: int = 96, iterations: int = 500) -> Clusters:
    """Cluster the bank by soft spherical k-means; a pure function, for prototypes that no longer move.

    Args:
        prototypes: (J, M, D) unit vectors.
        count: number of clusters, at most J.
        iterations: iterations of k-means.
    """
    _, each, _ = prototypes.shape
    vectors = prototypes.flatten(0, 1)
    centers = prototypes[:count, 0]
    for _ in range(iterations):
        share = torch.softmax(-SHARPNESS * _distance(vectors, centers), dim=1)
        centers = (share.T @ vectors) / share.sum(0)[:, None]
    nearest = _distance(vectors, centers).argsort(dim=0)[:each].T
    return Clusters(vectors[nearest], nearest[:, 0] // each)


def _distance(vectors: Tensor, centers: Tensor) -> Tensor:
    """(N, D) unit vectors and (C, D) to (N, C): 0 for the same direction, 1 for the opposite."""
    return (1 - vectors @ F.normalize(centers, dim=1).T) / 2


def cluster_loss(embedding: Tensor, targets: Sequence[Target], clusters: Clusters, settings: PoseBHLosses) -> Tensor:
    """The prototype losses of all samples, with clusters in place of keypoints and nothing moved.

    A cluster's truth is that of its keypoint, in the samples of the data set that the keypoint belongs to.

    Args:
        embedding: (B, D, h, w).
        targets: every data set's part of the batch.
        clusters: from :func:`cluster_prototypes`.
        settings: weights and threshold.
    """
    truths, weights, start = [], [], 0
    for target in targets:
        keypoints = target.heatmaps.shape[1]
        local = clusters.keypoint - start
        known = (local >= 0) & (local < keypoints)
        chosen = local.clamp(0, keypoints - 1)
        truths.append(target.heatmaps[:, chosen] * known[:, None, None])
        weights.append(target.weights[:, chosen] * known)
        start += keypoints
    truth = torch.cat(truths)
    alike = similarity(embedding[torch.cat([target.rows for target in targets])], clusters.prototypes)
    assignment = assign(alike, truth, settings.threshold)
    error = joints_mse(prototype_heatmaps(alike), truth, torch.cat(weights))
    pixels = pixel_prototype_loss(alike.flatten(1, 2), assignment.prototype, assignment.kept, settings)
    return settings.clusters * (pixels + settings.prototype_heatmap * error * assignment.kept.any())
