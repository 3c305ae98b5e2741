"""Renaming the parameters of a checkpoint by their prefixes, both ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Renaming:
    """Pairs of (the authors' prefix, ours); the longest prefix that fits a name applies."""

    pairs: tuple[tuple[str, str], ...]

    def to_ours(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """The authors' state dict under our names."""
        return {_renamed(name, self.pairs): value for name, value in state.items()}

    def to_theirs(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Our state dict under the authors' names."""
        back = tuple((ours, theirs) for theirs, ours in self.pairs)
        return {_renamed(name, back): value for name, value in state.items()}


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    fitting = [(old, new) for old, new in pairs if name.startswith(old)]
    if not fitting:
        return name
    old, new = max(fitting, key=lambda pair: len(pair[0]))
    return new + name[len(old) :]
