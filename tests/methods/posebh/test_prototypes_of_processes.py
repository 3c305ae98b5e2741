"""Prototypes of several processes: the recorded movement, and the mean of the banks."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from everypose.methods.posebh.losses import prototype_losses
from everypose.methods.posebh.prototypes import (
    mean_over_processes,
)
from everypose.methods.posebh.settings import PoseBHLosses
from golden_vectors import load, relative_error
from methods.posebh.golden_networks import bank_of, noise, targets_of, tensors
from methods.posebh.twins import literal_supervision


def test_the_two_golden_processes_move_as_recorded() -> None:
    vectors = load("posebh/c_prototypes_2ranks")
    settings = PoseBHLosses(prototype_heatmap=1.25e-5)  # as in the transfers
    for rank in (0, 1):
        get = tensors(vectors, f"rank{rank}.")
        proto, maps, bank = literal_supervision(
            get["emb"], [0, 0], get["target"], get["weight"][..., 0], get["before"], [3], settings,
            released=True, noise=noise(vectors, f"rank{rank}."),
        )  # fmt: skip
        assert proto.item() == pytest.approx(float(get["proto_loss"]), rel=1e-5)
        assert maps.item() == pytest.approx(float(get["phm_loss"]), rel=1e-5)
        assert relative_error(bank, vectors[f"rank{rank}.local"]) < 1e-5
        target = targets_of([0, 0], get["target"], get["weight"][..., 0], [3])[0]
        ours = prototype_losses(get["emb"], target, bank_of(get["before"], [3]), 0, settings)
        assert ours.prototype.item() == pytest.approx(float(get["proto_loss"]), rel=1e-5)
        assert ours.prototype_heatmap.item() == pytest.approx(float(get["phm_loss"]), rel=1e-5)


def _synchronized(rank: int, file: str, bank: Tensor) -> Tensor:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    mean = mean_over_processes(bank)
    torch.distributed.destroy_process_group()
    return mean


def _second_process(file: str, bank: Tensor) -> None:
    torch.set_num_threads(1)
    bank.copy_(_synchronized(1, file, bank))


def test_two_processes_share_the_mean_of_their_banks(tmp_path: Path) -> None:
    vectors = load("posebh/c_prototypes_2ranks")
    banks = [torch.from_numpy(vectors[f"rank{rank}.local"]) for rank in (0, 1)]
    banks[1] = banks[1].share_memory_()
    file = str(tmp_path / "rendezvous")
    other = mp.get_context("spawn").Process(target=_second_process, args=(file, banks[1]))
    other.start()
    banks[0] = _synchronized(0, file, banks[0])
    other.join()
    assert relative_error(banks[0], vectors["rank0.synced"]) < 1e-6
    assert torch.equal(*banks)
