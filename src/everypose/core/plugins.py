"""Entry points by which other installed packages extend everypose; references that are imported late."""

import warnings
from importlib import import_module, metadata
from typing import TypeVar

Kind = TypeVar("Kind")


def load_reference(reference: str) -> object:
    """Import the object that ``module:name`` refers to.

    >>> load_reference("math:floor")(1.5)
    1
    """
    module, _, name = reference.partition(":")
    found: object = getattr(import_module(module), name)
    return found


def entry_points_of(group: str) -> tuple[object, ...]:
    """Load what installed packages register under an entry point group, sorted by name.

    An entry point that cannot be loaded is skipped with a warning that names its package.

    Example:
        >>> entry_points_of("no.such.group")
        ()
    """
    found: list[object] = []
    for entry in sorted(metadata.entry_points(group=group), key=lambda entry: entry.name):
        try:
            found.append(entry.load())
        except Exception as error:  # another package's code: any failure must leave everypose usable
            package = entry.dist.name if entry.dist else entry.value
            warnings.warn(f"{group}: {entry.name!r} of {package} cannot be loaded: {error}", stacklevel=2)
    return tuple(found)
