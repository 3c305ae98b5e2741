"""What the training of one kind of method must provide; the rest of a run is the same for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from torch import Tensor, nn

from everypose.data.scenes import SceneSet
from everypose.models.config import ModelConfig
from everypose.training.optimizer_groups import ParameterGroup
from everypose.training.validation import Validator

Sample = TypeVar("Sample")
BatchT_co = TypeVar("BatchT_co", covariant=True)
BatchT = TypeVar("BatchT")
NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Samples(Protocol[Sample, BatchT_co]):
    """Training samples by their position in the run; the same position always gives the same sample.

    >>> class Numbers:
    ...     unit = "images"
    ...     def __len__(self):
    ...         return 10
    ...     def __getitem__(self, position):
    ...         return position
    ...     def collate(self, samples):
    ...         return list(samples)
    >>> samples: Samples[int, list[int]] = Numbers()
    >>> samples.collate([samples[2], samples[3]])
    [2, 3]
    """

    @property
    def unit(self) -> str:
        """What a sample is, for messages: "images" or "people"."""
        ...

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        ...

    def __getitem__(self, position: int) -> Sample:
        """Return the sample at a position, which may lie beyond the first epoch."""
        ...

    def collate(self, samples: Sequence[Sample]) -> BatchT_co:
        """Join samples to a batch with ``keys``, ``in_step(batches)``, ``to(device)`` and ``pin_memory()``."""
        ...


class Task(Protocol[Sample, BatchT, NetworkT]):
    """Data, network and losses of a run.

    >>> from everypose.training.recipe import parse_recipe
    >>> from everypose.training.tasks.single_stage import SingleStageTask
    >>> data = {"train": [{"annotations": "people.json", "images": "."}], "val_split": ""}
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": data})
    >>> task: AnyTask = SingleStageTask(recipe)
    >>> task.samples.unit, task.leaves_parameters_unused
    ('images', False)
    """

    @property
    def config(self) -> ModelConfig:
        """The configuration of the trained model."""
        ...

    @property
    def sets(self) -> Sequence[SceneSet]:
        """The training sets, for the run's record."""
        ...

    @property
    def samples(self) -> Samples[Sample, BatchT]:
        """The training samples."""
        ...

    @property
    def validators(self) -> Sequence[Validator]:
        """One for each validation set; none for a run without validation."""
        ...

    @property
    def leaves_parameters_unused(self) -> bool:
        """Whether some parameters get no gradient in some steps, which several processes must know."""
        ...

    def make_network(self) -> NetworkT:
        """Make the network with the weights that the run starts from."""
        ...

    def parameter_groups(self, network: NetworkT) -> list[ParameterGroup]:
        """Return all parameters that are trained at any time, in groups with one learning-rate multiplier each."""
        ...

    def begin_step(self, network: NetworkT, epoch: float) -> None:
        """Freeze or unfreeze parameters before a batch; a pure function of ``epoch``, so that runs can resume."""
        ...

    def losses(self, network: NetworkT, batch: BatchT) -> Mapping[str, Tensor]:
        """Return the weighted losses of a batch on the device; training minimizes their sum.

        Their average over the batches and processes of a step is the loss of all its samples in one batch.
        """
        ...

    def end_step(self, network: NetworkT) -> None:
        """Apply what the last losses determined besides gradients, such as moved prototypes."""
        ...

    def sample_counts(self, batch: BatchT, /) -> Mapping[str, int]:
        """Return, by loss, how many samples it is computed from, if these are not all of the batch."""
        ...


AnyTask: TypeAlias = Task[Any, Any, Any]
"""A task, whatever its samples, batches and network are."""
