"""Every person's pose, in a crowd, with any skeleton.

    import everypose
    pose = everypose.load()
    people = pose("crowd.jpg")
    people.draw().save("drawn.jpg")

The names below are imported when they are first used, so that ``import everypose`` itself costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator
    from everypose.inference.loading import load
    from everypose.inference.refinement import Refiner, load_refiner
    from everypose.people import People, Person
    from everypose.skeleton.skeleton import Skeleton

    __version__: str

__all__ = ["Estimator", "People", "Person", "Refiner", "Skeleton", "__version__", "load", "load_refiner"]

_DEFINED_IN = {
    "Estimator": "everypose.inference.estimator",
    "People": "everypose.people",
    "Person": "everypose.people",
    "Refiner": "everypose.inference.refinement",
    "Skeleton": "everypose.skeleton.skeleton",
    "load": "everypose.inference.loading",
    "load_refiner": "everypose.inference.refinement",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it, on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("everypose")
    elif name in _DEFINED_IN:
        from importlib import import_module

        value = getattr(import_module(_DEFINED_IN[name]), name)
    else:
        raise AttributeError(f"module 'everypose' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return sorted({*globals(), *__all__})
