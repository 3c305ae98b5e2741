"""Clustered prototypes against the golden vectors and their literal twins."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from everypose.methods.posebh.clusters import (
    Clusters,
    _centers,
    choose_count,
    cluster_loss,
    cluster_prototypes,
    reconstruction_error,
)
from everypose.methods.posebh.settings import PoseBHLosses
from golden_vectors import load, relative_error
from methods.posebh.golden_networks import SIZES, targets_of, tensors
from methods.posebh.twins import literal_cluster_loss, literal_clusters


def test_the_released_sort_explains_the_golden_clusters() -> None:
    get = tensors(load("posebh/h_cps_clusters"), "")
    prototypes, keypoint, share = literal_clusters(
        get["prototypes"], int(get["n_cluster"]), int(get["iters"]), released=True
    )
    # The clusters' own array is left out by ``tensors``.
    golden = load("posebh/h_cps_clusters")["cluster_prototypes"]
    assert relative_error(share, get["assign"].numpy()) < 1e-4
    assert relative_error(prototypes, golden) < 1e-5
    assert keypoint == get["closest_kpt"].tolist()


def test_clusters_equal_their_literal_twin() -> None:
    bank = tensors(load("posebh/h_cps_clusters"), "")["prototypes"]
    ours = cluster_prototypes(bank, 5, 20)
    prototypes, keypoint, _ = literal_clusters(bank, 5, 20)
    assert torch.allclose(ours.prototypes, prototypes)
    assert ours.keypoint.tolist() == keypoint


def test_a_cluster_takes_the_prototypes_around_it() -> None:
    """Directions with several prototypes each: every cluster finds those of its own direction, of any keypoint."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.eye(8)[:4]
    bank = directions[torch.tensor([[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3], [0, 1, 2], [3, 3, 0]])]
    bank = F.normalize(bank + 0.05 * torch.randn(bank.shape, generator=generator), dim=-1)
    clusters = cluster_prototypes(bank, 4, 50)
    nearest = (clusters.prototypes @ directions.T).argmax(-1)
    assert (nearest == torch.arange(4)[:, None]).all()
    assert all(
        keypoint in ({0, 4, 5}, {1, 4}, {2, 4}, {3, 5})[c] for c, keypoint in enumerate(clusters.keypoint.tolist())
    )


def test_the_reconstruction_error_equals_the_golden_one() -> None:
    get = tensors(load("posebh/h_cps_clusters"), "")
    centers = _centers(get["prototypes"], int(get["n_cluster"]), int(get["iters"]))
    assert reconstruction_error(get["prototypes"], centers) == pytest.approx(float(get["error"]), rel=1e-4)


def literal_cost(bank: torch.Tensor, count: int, iterations: int) -> float:
    centers = _centers(bank, count, iterations).double().numpy()
    error = 0.0
    for vector in bank.flatten(0, 1).double().numpy():
        weights = np.linalg.lstsq(centers.T, vector, rcond=float(np.finfo(np.float32).eps))[0]
        error += float(((vector - weights @ centers) ** 2).sum())
    return error * (count / len(bank)) ** 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_number_of_clusters_has_the_smallest_cost(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # The prototypes lie around six of sixteen directions: four clusters miss some of these.
    directions = torch.eye(16)[torch.arange(12) % 6]
    bank = F.normalize(directions[:, None] + 0.1 * torch.randn(12, 3, 16, generator=generator), dim=-1)
    costs = {count: literal_cost(bank, count, 30) for count in (2, 4, 6, 9)}
    assert choose_count(bank, (9, 4, 2, 6), 30) == min(costs, key=lambda count: costs[count])


def test_equal_errors_give_the_smallest_number_and_too_many_clusters_none() -> None:
    bank = F.normalize(torch.randn(30, 3, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    # Eight or more centers span all eight dimensions: every error is rounding.
    assert choose_count(bank, (20, 12, 16), 5) == 12
    assert choose_count(bank, (64, 12, 96), 5) == 12
    assert choose_count(bank, (64, 96), 5) == 30


def test_the_released_order_explains_the_golden_loss() -> None:
    vectors = load("posebh/h_cps_loss")
    get, batch = tensors(vectors, ""), tensors(load("posebh/c_proto_supervision"), "")
    embedding = get["embedding"].requires_grad_()
    loss = literal_cluster_loss(
        embedding, get["dataset_idx"].tolist(), batch["target_padded"], batch["target_weight_padded"][..., 0],
        torch.from_numpy(vectors["cluster_prototypes"]), get["closest_kpt"].tolist(), SIZES, PoseBHLosses(),
        released=True,
    )  # fmt: skip
    (1e5 * loss).backward()
    assert loss.item() == pytest.approx(float(get["loss"]), rel=1e-5)
    assert relative_error(embedding.grad, vectors["grad_embedding_of_1e5_times"]) < 1e-4


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 1, 0]])
def test_the_loss_equals_its_literal_twin_in_any_order(order: list[int]) -> None:
    vectors = load("posebh/h_cps_loss")
    get, batch = tensors(vectors, ""), tensors(load("posebh/c_proto_supervision"), "")
    prototypes, keypoint = torch.from_numpy(vectors["cluster_prototypes"]), torch.tensor([0, 4, 1, 6, 1])
    datasets = get["dataset_idx"].tolist()
    truth, weights = batch["target_padded"], batch["target_weight_padded"][..., 0]
    twin = get["embedding"].clone().requires_grad_()
    expected = literal_cluster_loss(
        twin, datasets, truth, weights, prototypes, keypoint.tolist(), SIZES, PoseBHLosses()
    )
    expected.backward()
    embedding = get["embedding"][order].requires_grad_()
    targets = targets_of([datasets[i] for i in order], truth[order], weights[order], SIZES)
    loss = cluster_loss(embedding, targets, Clusters(prototypes, keypoint), PoseBHLosses())
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert relative_error(embedding.grad, twin.grad[order].numpy()) < 1e-4
