"""Batches from a worker process: the same values, in one memory file for each large tensor."""

import copy
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from everypose.methods.batch import Array, Batch
from everypose.training import batch_transport
from everypose.training.batch_transport import MOST_IN_PIPE, send_in_memory_files

pytestmark = pytest.mark.usefixtures("registered")
FIELDS = ("large", "small", "mask", "none")


@dataclass(frozen=True, kw_only=True)
class Numbers(Batch[Array]):
    """A batch with tensors of several types.

    Attributes:
        large: more bytes than go through the pipe.
        small: some numbers.
        mask: some truth values, many.
        none: no numbers.
        count: not an array.
    """

    large: Array
    small: Array
    mask: Array
    none: Array
    count: int


@pytest.fixture(name="registered")
def _registered() -> None:
    send_in_memory_files()


def numbers(count: int) -> Numbers[torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    return Numbers(
        keys=(f"{count}.jpg",),
        large=torch.randint(0, 255, (3, MOST_IN_PIPE, 2), generator=generator, dtype=torch.uint8).mT,
        small=torch.rand(2, 3, generator=generator).mT,
        mask=torch.rand(2, MOST_IN_PIPE, generator=generator) > 0.5,
        none=torch.zeros(0, 4),
        count=count,
    )


def collate(counts: Sequence[int]) -> Numbers[torch.Tensor]:
    return numbers(counts[0])


def equal(found: Numbers[torch.Tensor], sent: Numbers[torch.Tensor]) -> None:
    assert (found.keys, found.count) == (sent.keys, sent.count)
    for name in FIELDS:
        assert getattr(found, name).dtype == getattr(sent, name).dtype
        assert torch.equal(getattr(found, name), getattr(sent, name))


@pytest.mark.parametrize("strategy", ["file_descriptor", "file_system"])
def test_batches_of_workers_are_the_same(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.multiprocessing, "get_sharing_strategy", lambda: strategy)
    received = list(DataLoader(list(range(5)), num_workers=2, collate_fn=collate))  # all are kept
    for number, batch in enumerate(received):
        equal(batch, numbers(number))
        for name in FIELDS:
            getattr(batch, name).zero_()  # the receiver may write into them


def test_each_large_tensor_is_one_memory_file(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("memory files are a part of Linux")
    sent: list[int] = []
    monkeypatch.setattr(batch_transport, "DupFd", sent.append)
    ForkingPickler.dumps(numbers(0))
    assert len(sent) == 2


def test_copies_and_files_are_those_of_pickle() -> None:
    batch = numbers(1)
    equal(copy.deepcopy(batch), batch)
    equal(pickle.loads(pickle.dumps(batch)), batch)


def test_arrays_stay_arrays() -> None:
    batch = Numbers(keys=(), large=np.zeros(3), small=np.ones(2), mask=np.zeros(1, np.bool_), none=np.zeros(0), count=0)
    received = pickle.loads(bytes(ForkingPickler.dumps(batch)))
    assert isinstance(received.small, np.ndarray)
    np.testing.assert_array_equal(received.small, batch.small)
