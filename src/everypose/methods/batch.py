"""Batches of training samples, as numpy arrays in the loader's workers and as tensors on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array")
"""The type of a batch's arrays: numpy's or torch's."""


@dataclass(frozen=True)
class Batch(Generic[Array]):
    """Base of a batch: a record of arrays, numbers and names.

    Attributes:
        keys: B names of the samples, for messages.
    """

    keys: tuple[str, ...]

    def map(self, function: Callable[[Any], Any]) -> Any:
        """Return the same record with ``function`` applied to each array.

        >>> Batch(keys=("a.jpg",)).map(abs).keys
        ('a.jpg',)
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: function(value) for name, value in values.items() if not isinstance(value, int | tuple | None)}
        return replace(self, **changed)

    def in_step(self, batches: Sequence[Self]) -> Self:
        """Return the batch with what its losses depend on of all batches of its optimizer step: nothing, by default.

        Args:
            batches: this process's batches of the step, this one included.
        """
        del batches
        return self

    def to(self, device: "torch.device | str") -> Self:
        """Copy a batch of tensors to a device; Lightning calls it."""
        moved: Self = self.map(lambda tensor: tensor.to(device, non_blocking=True))
        return moved

    def pin_memory(self) -> Self:
        """Copy a batch of tensors to page-locked memory, which a GPU reads without waiting; the loader calls it."""
        pinned: Self = self.map(lambda tensor: tensor.pin_memory())
        return pinned
