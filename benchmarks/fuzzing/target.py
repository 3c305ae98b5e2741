"""One reader or command as a target of fuzzing, and how its inputs are damaged."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_json


@dataclass(frozen=True)
class Target:
    """One reader or command.

    Attributes:
        name: for messages, and a part of the seed of each mutation.
        seeds: whole inputs.
        mutate: makes a damaged input from a whole one.
        run: reads an input, given a folder of its own; it puts its inputs there by :func:`put`, and may write below
            ``folder / "out"`` only.
        accepts: whether the whole inputs are read; False where the last check needs what a test cannot have.
    """

    name: str
    seeds: tuple[bytes, ...]
    mutate: Callable[[bytes, random.Random], bytes]
    run: Callable[[bytes, Path], object]
    accepts: bool = True

    def input(self, number: int) -> bytes:
        """The input of a mutation; the same number always gives the same one, and -1 the first whole input."""
        if number < 0:
            return self.seeds[0]
        rng = random.Random(f"{self.name} {number}")
        return self.mutate(rng.choice(self.seeds), rng)


def as_json(value: Any) -> tuple[bytes, ...]:
    """The one seed of a JSON target."""
    return (json.dumps(value).encode(),)


def both(content: bytes, rng: random.Random) -> bytes:
    """JSON values mostly, bytes now and then."""
    return mutate_bytes(content, rng) if rng.random() < 0.25 else mutate_json(content, rng)
