"""The base of all settings: immutable, typed, without unknown fields."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NONE = "none"
"""Stands for None in TOML, which has no null."""
PositiveInt = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A whole number from 1 to a billion: products of such numbers and of the sizes of maps do not overflow."""
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""A whole number from 0 to a billion."""
Channels = Annotated[int, Field(ge=1, le=65_536)]
"""Channels of a layer."""
Repeats = Annotated[int, Field(ge=1, le=1000)]
"""How often a part of a network follows itself, or lies next to itself: blocks, modules, attention heads."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


NoneWord = BeforeValidator(lambda value: None if value == NONE else value)
"""Makes an optional field accept the word "none"."""


class Settings(BaseModel):
    """Immutable settings; unknown fields, infinities and NaN are refused.

    >>> class Window(Settings):
    ...     size: int = 3
    >>> Window(size=5).model_copy(update={"size": 7}).size
    7
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
