"""Renaming of a checkpoint's parameters by prefix, in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Renaming:
    """Pairs of prefixes (released checkpoint's, everypose's); the longest matching prefix of a name applies.

    Example:
        >>> Renaming((("gfd.", "head."),)).to_everypose({"gfd.conv.weight": 1})
        {'head.conv.weight': 1}
    """

    pairs: tuple[tuple[str, str], ...]

    def to_everypose(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Rename the tensors of a released state dict to everypose's names."""
        return {_renamed(name, self.pairs): value for name, value in state.items()}

    def to_released(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Rename everypose's state dict to the released names."""
        back = tuple((own, released) for released, own in self.pairs)
        return {_renamed(name, back): value for name, value in state.items()}


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    fitting = [(old, new) for old, new in pairs if name.startswith(old)]
    if not fitting:
        return name
    old, new = max(fitting, key=lambda pair: len(pair[0]))
    return new + name[len(old) :]
