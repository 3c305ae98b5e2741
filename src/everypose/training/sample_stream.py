"""The stream of training samples: stateless, so that a run can resume at any step.

Sample n of a run (its position) is image ``permutation(epoch)[n % images]`` of epoch ``n // images`` (a person for
top-down methods), and its random numbers depend on (seed, position) only. So neither the number of loader workers nor
resuming changes the samples, and process r of R takes every R-th sample of the order of a single process.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from everypose.core.arrays import Int64
from everypose.training.batch_transport import send_in_memory_files
from everypose.training.process_setup import use_one_opencv_thread

if TYPE_CHECKING:
    from everypose.training.tasks.protocol import Samples


def index_at(position: int, length: int, seed: int) -> int:
    """Return which of ``length`` samples is at a position of the run; every epoch has an order of its own.

    >>> sorted(index_at(position, 4, seed=0) for position in range(4))
    [0, 1, 2, 3]
    """
    epoch, place = divmod(position, length)
    return int(_permutation(seed, epoch, length)[place])


def generator_at(position: int, seed: int) -> np.random.Generator:
    """Return the generator of the random augmentation of the sample at a position of the run.

    >>> bool(generator_at(0, 5).random() == generator_at(0, 5).random())
    True
    """
    return np.random.default_rng((seed, 1, position))


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, length: int) -> Int64:
    return np.random.default_rng((seed, 0, epoch)).permutation(length)


class StepBatches(Sampler[list[int]]):
    """The batches of one process, from one step of the run to another, as lists of positions.

    Args:
        first_step: steps already taken.
        last_step: steps of the whole run.
        batch: samples a process and batch.
        accumulate: batches a step.
        rank: this process among ``world_size``.
        world_size: number of processes.

    Attributes:
        accumulate: as given.

    >>> list(StepBatches(first_step=1, last_step=3, batch=2))  # positions of the samples in the run
    [[2, 3], [4, 5]]
    """

    def __init__(
        self, first_step: int, last_step: int, batch: int, accumulate: int = 1, rank: int = 0, world_size: int = 1
    ) -> None:
        self.accumulate = accumulate
        self._batches = range(first_step * accumulate, last_step * accumulate)
        self._batch = batch
        self._rank = rank
        self._world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        together = self._batch * self._world_size
        for number in self._batches:
            yield list(range(number * together + self._rank, (number + 1) * together, self._world_size))

    def __len__(self) -> int:
        return len(self._batches)


class StepLoader:
    """Yields each batch with what its losses depend on of the other batches of its optimizer step.

    Args:
        loader: the batches of one process.
        accumulate: batches of a step.

    >>> from everypose.methods.batch import Batch
    >>> batches = [Batch(keys=("a",)), Batch(keys=("b",))]
    >>> [batch.keys for batch in StepLoader(batches, accumulate=2)]  # each knows the other batch of its step
    [('a',), ('b',)]
    """

    def __init__(self, loader: "DataLoader[Any]", accumulate: int) -> None:
        self._loader = loader
        self._accumulate = accumulate

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        while step := list(islice(batches, self._accumulate)):
            yield from (batch.in_step(step) for batch in step)

    def __len__(self) -> int:
        return len(self._loader)


def training_loader(
    samples: "Samples[Any, Any]", batches: StepBatches, workers: int, pin: bool
) -> "DataLoader[Any] | StepLoader":
    """Return the batches of one process, for the whole rest of the run.

    >>> class Numbers:
    ...     unit = "images"
    ...     def __len__(self):
    ...         return 10
    ...     def __getitem__(self, position):
    ...         return position * position
    ...     def collate(self, samples):
    ...         return samples
    >>> list(training_loader(Numbers(), StepBatches(0, 2, batch=3), workers=0, pin=False))
    [[0, 1, 4], [9, 16, 25]]
    """
    if workers:
        use_one_opencv_thread()
        send_in_memory_files()
    loader: DataLoader[Any] = DataLoader(
        cast(Dataset[Any], samples),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=samples.collate,
        pin_memory=pin,
    )
    return loader if batches.accumulate == 1 else StepLoader(loader, batches.accumulate)
