"""How a batch gets from a loader's worker to the training process.

By default each tensor gets a shared memory of its own, whose pages the system clears and maps one by one while the
worker writes them. Here a large tensor is written to a memory file at once, in a third of the time, and small ones go
through the pipe together.
"""

import mmap
import os
from collections.abc import Callable
from dataclasses import fields
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from everypose.methods.batch import Batch

MOST_IN_PIPE = 1 << 18
"""Bytes of the largest tensor that goes through the pipe: handing over a file takes as long as copying as many."""


class _InPipe(NamedTuple):
    """A tensor as the array that is pickled."""

    array: npt.NDArray[Any]


class _InFile(NamedTuple):
    """A tensor in a memory file.

    Attributes:
        descriptor: of the file, for another process: a ``multiprocessing.reduction.DupFd``.
        dtype: NumPy's name of the type.
        shape: of the tensor.
    """

    descriptor: Any
    dtype: str
    shape: tuple[int, ...]


def send_in_memory_files() -> None:
    """Let the queues of multiprocessing send all kinds of batches as this module does.

    >>> from everypose.methods.posefix.samples import RefinementBatch
    >>> one = torch.ones(1)
    >>> send_in_memory_files()
    >>> sent = ForkingPickler.dumps(RefinementBatch(images=one, targets=one, poses=one, keys=("a.jpg",)))
    >>> ForkingPickler.loads(sent).images
    tensor([1.])
    """
    for kind in Batch.__subclasses__():
        ForkingPickler.register(kind, _reduce)


def _reduce(batch: Any) -> tuple[Callable[..., Any], tuple[type, dict[str, Any]]]:
    """Return what pickle stores of a batch."""
    return _received, (type(batch), {field.name: _sent(getattr(batch, field.name)) for field in fields(batch)})


def _received(kind: Callable[..., Any], values: dict[str, Any]) -> Any:
    """Return the batch that another process sent."""
    return kind(**{name: _tensor(value) for name, value in values.items()})


def _sent(value: Any) -> Any:
    """Return a tensor as it is sent, and everything else as it is."""
    if not isinstance(value, torch.Tensor) or value.device.type != "cpu" or value.requires_grad:
        return value
    if value.nbytes <= MOST_IN_PIPE:
        return _InPipe(value.numpy())
    # Both are a part of Linux; with the strategy file_system the user avoids open files.
    by_descriptor = torch.multiprocessing.get_sharing_strategy() == "file_descriptor"
    if not (by_descriptor and hasattr(os, "memfd_create") and hasattr(mmap, "MAP_POPULATE")):
        return value
    array = np.ascontiguousarray(value.numpy())
    descriptor = os.memfd_create("everypose batch")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(array.reshape(-1).view(np.uint8).data)
        return _InFile(DupFd(descriptor), array.dtype.str, array.shape)
    finally:
        os.close(descriptor)


def _tensor(value: Any) -> Any:
    """Return the tensor that was sent, and everything else as it is."""
    if isinstance(value, _InPipe):
        return torch.from_numpy(value.array)
    if not isinstance(value, _InFile):
        return value
    descriptor = value.descriptor.detach()
    try:
        memory = mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(descriptor)
    return torch.from_numpy(np.frombuffer(memory, value.dtype).reshape(value.shape))
