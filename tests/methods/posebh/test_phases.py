"""The schedule's table, resuming, and freezing."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from everypose.methods.posebh.clusters import cluster_prototypes
from everypose.methods.posebh.network import PoseBHOutputs
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.phases import freeze
from everypose.methods.posebh.settings import Phase, PhaseSchedule, PoseBHLosses
from golden_vectors import load
from methods.posebh.golden_networks import SIZES, TRANSFER_TO_3DPW, TRANSFER_TO_INTERHAND, targets_of, tensors, tiny

FIRST = Phase(prototypes=True, embedding=True, heads=False, backbone=False, cross_type=False, clusters=False)
SECOND = Phase(prototypes=False, embedding=True, heads=True, backbone=False, cross_type=True, clusters=False)
THAWED = SECOND._replace(backbone=True)
TRANSFER = Phase(prototypes=True, embedding=False, heads=True, backbone=False, cross_type=False, clusters=False)
TRANSFERRED = TRANSFER._replace(prototypes=False)

# PhaseSchedule, epoch, what happens in it.
TABLE = [
    (PhaseSchedule(), 0, FIRST),
    (PhaseSchedule(), 49, FIRST),
    (PhaseSchedule(), 49.99, FIRST),
    (PhaseSchedule(), 50 - 1e-9, SECOND),
    (PhaseSchedule(), 50, SECOND),
    (PhaseSchedule(), 60, SECOND),
    (PhaseSchedule(), 89, SECOND),
    (PhaseSchedule(), 90, THAWED),
    (PhaseSchedule(), 99, THAWED),
    (PhaseSchedule(clusters_from=50), 49, FIRST),
    (PhaseSchedule(clusters_from=50), 50, SECOND._replace(clusters=True)),
    (TRANSFER_TO_3DPW, 0, TRANSFER),
    (TRANSFER_TO_3DPW, 14, TRANSFER),
    (TRANSFER_TO_3DPW, 15, TRANSFERRED._replace(backbone=True)),
    (TRANSFER_TO_3DPW, 16, TRANSFERRED),
    (TRANSFER_TO_3DPW, 29, TRANSFERRED),
    (TRANSFER_TO_INTERHAND, 29, TRANSFER),
    (TRANSFER_TO_INTERHAND, 30, TRANSFERRED._replace(backbone=True)),
    (TRANSFER_TO_INTERHAND, 59, TRANSFERRED._replace(backbone=True)),
]


@pytest.mark.parametrize(("schedule", "epoch", "phase"), TABLE)
def test_the_table(schedule: PhaseSchedule, epoch: float, phase: Phase) -> None:
    assert schedule.phase(epoch) == phase


def test_a_run_resumed_at_epoch_60_is_in_its_second_phase() -> None:
    assert PhaseSchedule().phase(60) == [PhaseSchedule().phase(epoch) for epoch in range(61)][60] == SECOND


@pytest.mark.parametrize("phase", [FIRST, SECOND, THAWED])
def test_only_the_parts_of_the_phase_learn(phase: Phase) -> None:
    network = tiny()
    freeze(network, THAWED)
    freeze(network, phase)
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {part for part in ("backbone", "heads", "embedding") if getattr(phase, part)}


def test_statistics_of_a_frozen_head_keep_moving() -> None:
    get = tensors(load("posebh/e_tiny_model"), "")
    network = tiny().train()
    freeze(network, FIRST)
    before = network.heads[0].deconv_layers[1].running_mean.clone()
    outputs = network(get["img"], get["dataset_idx"])
    assert not outputs.heatmaps[0].requires_grad
    assert not torch.equal(network.heads[0].deconv_layers[1].running_mean, before)


@pytest.mark.parametrize("phase", [FIRST, THAWED._replace(clusters=True)])
def test_the_losses_of_a_phase_reach_what_learns_in_it(phase: Phase) -> None:
    get = tensors(load("posebh/e_tiny_model"), "")
    network = tiny().train()
    freeze(network, phase)
    bank = network.prototypes.bank.clone()
    datasets = get["dataset_idx"].tolist()
    targets = targets_of(datasets, get["target"], get["target_weight"][..., 0], SIZES)
    clusters = cluster_prototypes(network.prototypes.of(), 5, 10) if phase.clusters else None
    outputs = network(get["img"], get["dataset_idx"])
    settings = PoseBHLosses(peak=0.0, match=20)
    values, moved = losses(network, outputs, targets, phase=phase, settings=settings, clusters=clusters)
    expected = ["heatmap_a", "heatmap_b", "prototype", "prototype_heatmap"]
    assert list(values) == expected + (["cross_type", "clusters"] if phase.clusters else [])
    assert all(value > 0 for value in values.values())
    sum(values.values()).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert torch.equal(network.prototypes.bank, bank)
    assert (moved is not None) == phase.prototypes
    assert moved is None or not torch.equal(moved, bank)


class NothingAsked(TorchDispatchMode):
    """Refuses what makes the host wait for the device: reading a value, or a shape that depends on one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal"), name
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1]), "index by a mask"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("phase", [FIRST, THAWED._replace(clusters=True)])
def test_no_loss_waits_for_the_device(phase: Phase) -> None:
    get = tensors(load("posebh/e_tiny_model"), "")
    network = tiny().train()
    targets = targets_of(get["dataset_idx"].tolist(), get["target"], get["target_weight"][..., 0], SIZES)
    clusters = cluster_prototypes(network.prototypes.of(), 5, 10)
    with NothingAsked():
        outputs = network(get["img"], get["dataset_idx"])
        settings = PoseBHLosses(peak=0.0)
        step = losses(network, outputs, targets, phase=phase, settings=settings, clusters=clusters)
        sum(step.losses.values()).backward()


def test_the_losses_stay_in_float32_under_mixed_precision() -> None:
    get = tensors(load("posebh/e_tiny_model"), "")
    network = tiny().train()
    targets = targets_of(get["dataset_idx"].tolist(), get["target"], get["target_weight"][..., 0], SIZES)
    found = []
    for mixed in (False, True):
        torch.manual_seed(0)
        outputs = PoseBHOutputs(tuple(torch.rand(4, count, 16, 12) for count in SIZES), torch.randn(4, 8, 16, 12))
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found.append(losses(network, outputs, targets, phase=SECOND, settings=PoseBHLosses()).losses)
    assert found[0] == found[1]
