"""Clustered prototypes: neighboring prototypes of any data sets stand for one common keypoint.

This is part of the released code, but not of the abstract, and off by default: with the released weights the loss is
about 5e-9. The released code chooses among 64, 96 and 128 clusters. There, as many centers as an embedding has
dimensions or more reproduce every prototype, so that rounding decides; here equal errors give the smallest number.
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
EXACT = 1e-9
"""Errors below this share of the vectors' squares are rounding, in float32: they count as 0."""


class Clusters(NamedTuple):
    """C clusters of prototypes.

    Attributes:
        prototypes: (C, M, D), the M prototypes nearest to each center.
        keypoint: (C,), the keypoint of the nearest one.

    >>> prototypes = F.normalize(torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    >>> clusters = cluster_prototypes(prototypes, count=2)
    >>> clusters.prototypes.shape, bool((clusters.keypoint < 6).all())
    (torch.Size([2, 3, 8]), True)
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

    >>> prototypes = F.normalize(torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    >>> clusters = cluster_prototypes(prototypes, count=2)
    >>> clusters.prototypes.shape, clusters.keypoint.shape
    (torch.Size([2, 3, 8]), torch.Size([2]))
    """
    _, each, _ = prototypes.shape
    vectors = prototypes.flatten(0, 1)
    nearest = _distance(vectors, _centers(prototypes, count, iterations)).argsort(dim=0)[:each].T
    return Clusters(vectors[nearest], nearest[:, 0] // each)


@torch.no_grad()
def choose_count(prototypes: Tensor, candidates: Sequence[int], iterations: int = 500) -> int:
    """Choose the number of clusters C with the smallest error x (C / J)^2; of equals, the smallest C.

    Args:
        prototypes: (J, M, D) unit vectors.
        candidates: numbers of clusters; those of J and more are left out, unless all are: then C is J.
        iterations: iterations of k-means.

    >>> prototypes = F.normalize(torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    >>> choose_count(prototypes, [2, 8])  # 8 clusters of 6 keypoints are too many
    2
    """
    keypoints = len(prototypes)
    possible = sorted(count for count in candidates if count < keypoints) or [keypoints]
    costs = [
        reconstruction_error(prototypes, _centers(prototypes, count, iterations)) * (count / keypoints) ** 2
        for count in possible
    ]
    return possible[costs.index(min(costs))]


def reconstruction_error(prototypes: Tensor, centers: Tensor) -> float:
    """Sum the squared residuals of the least-squares fit of all prototypes by linear combinations of the centers.

    Args:
        prototypes: (J, M, D).
        centers: (C, D).

    >>> reconstruction_error(torch.eye(2)[:, None], torch.eye(2)[:1])  # the second prototype is not spanned
    1.0
    """
    vectors = prototypes.flatten(0, 1).double()
    basis = torch.linalg.svd(centers.double(), full_matrices=False)
    spanned = basis.Vh[basis.S[0] * torch.finfo(torch.float32).eps < basis.S]
    squares = (vectors**2).sum()
    error = squares - ((vectors @ spanned.T) ** 2).sum()
    return float(error) if error > EXACT * squares else 0.0


def _centers(prototypes: Tensor, count: int, iterations: int) -> Tensor:
    """The centers (C, D) of soft spherical k-means, which begins with the first prototypes of keypoints 0 to C - 1."""
    vectors, centers = prototypes.flatten(0, 1), prototypes[:count, 0]
    for _ in range(iterations):
        share = torch.softmax(-SHARPNESS * _distance(vectors, centers), dim=1)
        centers = (share.T @ vectors) / share.sum(0)[:, None]
    return centers


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

    >>> generator = torch.Generator().manual_seed(0)
    >>> prototypes = F.normalize(torch.randn(6, 3, 8, generator=generator), dim=2)
    >>> embedding = torch.randn(1, 8, 4, 3, generator=generator, requires_grad=True)
    >>> target = Target(torch.tensor([0]), torch.rand(1, 6, 4, 3, generator=generator), torch.ones(1, 6))
    >>> loss = cluster_loss(embedding, [target], cluster_prototypes(prototypes, count=2), PoseBHLosses())
    >>> loss.backward()
    >>> embedding.grad.shape  # the pixels' embeddings learn; the clusters stay
    torch.Size([1, 8, 4, 3])
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
