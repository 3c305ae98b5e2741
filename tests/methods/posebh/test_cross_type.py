"""Cross-type self-supervision against the golden vectors, its literal twin and what must hold for any."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.posebh.cross_type import cross_type_loss, pseudo_labels
from everypose.methods.posebh.prototypes import Prototypes
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.targets import rows_by_dataset
from golden_vectors import load, relative_error
from methods.posebh.golden_networks import SIZES, tensors
from methods.posebh.twins import (
    literal_agreement,
    literal_cross_type,
    literal_dark_udp,
    literal_gaussian,
    literal_heatmaps,
)

SETTINGS = PoseBHLosses(cross_type=1.0)


def golden() -> dict[str, Tensor]:
    return tensors(load("posebh/d_css"), "")


def bank_of(values: Tensor) -> Prototypes:
    prototypes = Prototypes(SIZES, *values.shape[1:])
    prototypes.bank.copy_(values)
    return prototypes


def ours(heads: list[Tensor], embedding: Tensor, datasets: list[int], bank: Tensor, settings: PoseBHLosses) -> Tensor:
    return cross_type_loss(heads, embedding, rows_by_dataset(datasets, 2), bank_of(bank), settings)


def test_the_released_slips_explain_the_golden_loss() -> None:
    get = golden()
    heads = [get[f"heatmap_head{d}"].requires_grad_() for d in (0, 1)]
    embedding = get["embedding"].requires_grad_()
    loss = literal_cross_type(heads, embedding, get["dataset_idx"].tolist(), get["prototypes"], SETTINGS, released=True)
    loss.backward()
    assert loss.item() == pytest.approx(float(get["css_loss_unweighted"]), rel=1e-5)
    assert relative_error(embedding.grad, get["grad_embedding"].numpy()) < 1e-4
    for d in (0, 1):
        assert relative_error(heads[d].grad, get[f"grad_head{d}"].numpy()) < 1e-4
    assert torch.equal(get["prototypes"], get["prototypes_after"])


@pytest.mark.parametrize("d", [0, 1])
def test_the_released_slips_explain_the_golden_pseudo_labels(d: int) -> None:
    get = golden()
    foreign = get["dataset_idx"] != d
    heads = get[f"heatmap_head{d}"][foreign]
    maps = literal_heatmaps(get["embedding"][foreign], get["prototypes"], sum(SIZES[:d]), SIZES[d])
    agreed = literal_agreement(heads, maps, SETTINGS, released=True)
    assert {(a.sample, a.keypoint) for a in agreed} == set(map(tuple, get[f"ds{d}.mask_as_code"].nonzero().tolist()))
    (label,) = agreed
    assert label.point == pytest.approx(get[f"ds{d}.pseudo_kpts"][0, :2].tolist(), rel=1e-5)
    assert relative_error(label.heatmap, get[f"ds{d}.pseudo_heatmaps"][0].numpy()) < 1e-5
    for maps_, name in ((heads, f"decode{2 * d}"), (maps, f"decode{2 * d + 1}")):
        decoded = literal_dark_udp(maps_[label.sample, label.keypoint].numpy())
        assert decoded == pytest.approx(get[f"{name}.preds"][0].tolist(), rel=1e-4)


@pytest.mark.parametrize("d", [0, 1])
def test_those_agree_whom_the_release_means_to(d: int) -> None:
    get = golden()
    foreign = get["dataset_idx"] != d
    maps = bank_of(get["prototypes"]).heatmaps(get["embedding"][foreign], d)
    labels = pseudo_labels(get[f"heatmap_head{d}"][foreign], maps, SETTINGS)
    assert torch.equal(labels.weights > 0, get[f"ds{d}.mask_intended"])
    anywhere = PoseBHLosses(match=100)
    labels = pseudo_labels(get[f"heatmap_head{d}"][foreign], maps, anywhere)
    assert torch.equal(labels.weights > 0, get[f"ds{d}.mask_conf"])


def blobs(seed: int) -> tuple[list[Tensor], Tensor, Tensor, list[int]]:
    """Heads' maps with a peak each, embeddings with one at a place nearby, the bank, and the samples' data sets."""
    generator = torch.Generator().manual_seed(seed)
    datasets = [0, 1, 1, 0, 1]
    bank = F.normalize(torch.randn(7, 3, 32, generator=generator), dim=-1)
    background = torch.randn(32, generator=generator)
    embedding = background[:, None, None].expand(5, 32, 14, 11) / background.norm() * 0.3
    heads = [torch.zeros(5, count, 14, 11) for count in SIZES]
    for b, k in np.ndindex(5, 7):
        x, y = (float(v) for v in 1 + torch.rand(2, generator=generator) * torch.tensor([8, 11]))
        peak = literal_gaussian(x, y, 14, 11)
        embedding = (
            embedding + F.one_hot(torch.tensor(b), 5)[:, None, None, None] * peak * bank[k, k % 3][:, None, None]
        )
        dx, dy = (torch.rand(2, generator=generator) * 5 - 2.5).tolist()
        height = float(torch.rand((), generator=generator)) + 0.1
        near = literal_gaussian(min(max(x + dx, 0), 10), min(max(y + dy, 0), 13), 14, 11)
        heads[k >= 3][b, k - 3 * (k >= 3)] = height * near
    return heads, embedding, bank, datasets


@pytest.mark.parametrize("threshold", [0.0, 0.4])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_equals_its_literal_twin(seed: int, threshold: float) -> None:
    settings = PoseBHLosses(cross_type=1.0, threshold=threshold)
    heads, embedding, bank, datasets = blobs(seed)
    found = []
    for loss_of in (ours, literal_cross_type):
        leaves = [leaf.clone().requires_grad_() for leaf in (*heads, embedding)]
        loss = loss_of(leaves[:2], leaves[2], datasets, bank, settings)
        loss.backward()
        found.append((loss.item(), [leaf.grad for leaf in leaves]))
    (one, gradients), (twin, expected) = found
    assert twin > 0
    assert one == pytest.approx(twin, rel=1e-4)
    for gradient, literal in zip(gradients, expected, strict=True):
        assert relative_error(gradient, literal.numpy()) < 1e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_the_point_lies_between_the_two_peaks(seed: int) -> None:
    heads, embedding, bank, _ = blobs(seed)
    for d, head in enumerate(heads):
        maps = literal_heatmaps(embedding, bank, sum(SIZES[:d]), SIZES[d])
        labels = pseudo_labels(head, maps, PoseBHLosses(match=4))
        agreed = literal_agreement(head, maps, PoseBHLosses(match=4), released=False)
        assert {(a.sample, a.keypoint) for a in agreed} == set(map(tuple, (labels.weights > 0).nonzero().tolist()))
        assert agreed
        for label in agreed:
            point = labels.points[label.sample, label.keypoint]
            ends = torch.stack(
                [torch.from_numpy(literal_dark_udp(m[label.sample, label.keypoint].numpy())) for m in (head, maps)]
            )
            assert (point >= ends.amin(0) - 1e-3).all()
            assert (point <= ends.amax(0) + 1e-3).all()
            assert point.tolist() == pytest.approx(label.point, abs=1e-3)


def test_the_order_of_the_batch_does_not_matter() -> None:
    heads, embedding, bank, datasets = blobs(2)
    order = [3, 0, 4, 1, 2]
    one = ours(heads, embedding, datasets, bank, SETTINGS)
    other = ours([head[order] for head in heads], embedding[order], [datasets[i] for i in order], bank, SETTINGS)
    assert one.item() == pytest.approx(other.item(), rel=1e-5)


def test_a_batch_of_one_data_set_teaches_the_others() -> None:
    heads, embedding, bank, _ = blobs(0)
    datasets = [0] * 5
    loss = ours(heads, embedding, datasets, bank, SETTINGS)
    twin = literal_cross_type(heads, embedding, datasets, bank, SETTINGS)
    assert loss.item() == pytest.approx(twin.item(), rel=1e-4)
    leaf = heads[0].clone().requires_grad_()
    ours([leaf, heads[1]], embedding.requires_grad_(), datasets, bank, SETTINGS).backward()
    assert leaf.grad is None


def test_a_network_of_one_data_set_has_nobody_to_teach() -> None:
    heads, embedding, _, _ = blobs(0)
    prototypes = Prototypes([3], 3, 32)
    assert cross_type_loss(heads[:1], embedding, rows_by_dataset([0] * 5, 1), prototypes, SETTINGS) == 0


def test_where_nothing_agrees_nothing_is_lost() -> None:
    heads, embedding, bank, datasets = blobs(0)
    leaves = [torch.zeros_like(head).requires_grad_() for head in heads]
    loss = ours(leaves, embedding.requires_grad_(), datasets, bank, SETTINGS)
    assert loss == 0
    loss.backward()
    assert all((leaf.grad == 0).all() for leaf in (*leaves, embedding))
