"""The modules of a network that become int8: the network declares them, the export stores them in the file."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from everypose.core.settings import Settings


def _require_name(name: str) -> str:
    if not name or name.startswith(".") or name.endswith("."):
        raise ValueError(f"{name!r} is not the name of a module")
    return name


ModuleName = Annotated[str, AfterValidator(_require_name)]
"""A module's name in its network, such as ``center.output``."""


class Int8Scopes(Settings):
    """The modules that become int8.

    Attributes:
        quantized: modules whose convolutions, ReLUs and additions become int8.
        kept: modules inside these that stay in float32: those that output positions or logits, which do not survive
            256 levels.
        concatenations: modules whose concatenation becomes int8, because its parts have similar ranges.

    >>> Int8Scopes(quantized=("backbone",), kept=("backbone.places",)).contains("/backbone/places/Conv")
    False
    """

    quantized: tuple[ModuleName, ...] = ()
    kept: tuple[ModuleName, ...] = ()
    concatenations: tuple[ModuleName, ...] = ()

    def contains(self, node: str) -> bool:
        """Return whether a node of the exported graph, named by its module, becomes int8."""
        return node.startswith(_prefixes(self.quantized)) and not node.startswith(_prefixes(self.kept))

    def is_concatenation(self, node: str) -> bool:
        """Return whether a node of the exported graph is the concatenation of one of ``concatenations``."""
        return node in {f"{prefix}Concat" for prefix in _prefixes(self.concatenations)}

    def require_modules(self, names: Iterable[str]) -> None:
        """Check that all modules exist in the network.

        Args:
            names: the names of the network's modules.

        Raises:
            ValueError: if one does not, because it was renamed.
        """
        missing = {*self.quantized, *self.kept, *self.concatenations} - set(names)
        if missing:
            raise ValueError(f"int8 scopes name modules that the network does not have: {', '.join(sorted(missing))}")


def _prefixes(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return how the names of the exported nodes of modules begin."""
    return tuple(f"/{module.replace('.', '/')}/" for module in modules)
