"""What the training of one family differs in; the rest of a run is the same for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from everypose.data.scenes import SceneSet
from everypose.models.config import ModelConfig
from everypose.training.validation import Validator


class Samples(Protocol):
    """Training samples by their position in the run; the same position always gives the same sample."""

    @property
    def unit(self) -> str:
        """What they are, for messages: "images", "people"."""
        ...

    def __len__(self) -> int:
        """How many make an epoch."""
        ...

    def __getitem__(self, position: int) -> Any:
        """The sample at a position, which may lie beyond the first epoch."""
        ...

    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples to a batch with ``keys`` (their names), ``to(device)`` and ``pin_memory()``."""
        ...


class Task(Protocol):
    """Data, network and losses of a run."""

    @property
    def config(self) -> ModelConfig:
        """The configuration of the model that comes out."""
        ...

    @property
    def sets(self) -> Sequence[SceneSet]:
        """The training sets, for the run's record of its data."""
        ...

    @property
    def samples(self) -> Samples:
        """What is trained on."""
        ...

    @property
    def validators(self) -> Sequence[Validator]:
        """What is measured, each on one set; none for a run without validation."""
        ...

    def make_network(self) -> nn.Module:
        """The network with the weights that the run starts from."""
        ...

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Groups for the optimiser: ``params``, ``scale`` (times the learning rate), where it differs more."""
        ...

    def begin_step(self, network: nn.Module, epoch: float) -> None:
        """Called before each batch: what learns may depend on the epoch, and on nothing else of the past."""
        ...

    def losses(self, network: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """The weighted losses of a batch on the device; training minimises their sum."""
        ...

    def sample_counts(self, batch: Any, /) -> Mapping[str, int]:
        """For losses that look at some of the samples only but are means over all: how many those are, by name."""
        ...
