"""How a single-stage model is run on an image."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from everypose.core.settings import Settings

SMALLEST_SIDE = 64
"""Of a single-stage model's input, in pixels: its maps have room for all peaks and for a coarse search's tiles."""
Step = Literal[16, 32, 64]
"""What the sides of a single-stage model's input may be multiples of, in pixels."""


class InferenceSettings(Settings):
    """How an image is prepared for a single-stage model and what is kept.

    ``size``: the short side of the network's input, in pixels; ``step``: what its sides are multiples of, in the
    published inference twice what HRNet's deepest branch needs; ``pool``: the window that smooths the maps;
    ``nms``: poses more alike than this OKS are one person; ``min_score``: people below are not shown; ``decoder``,
    ``scoring`` and ``search``: see :mod:`everypose.methods.single_stage.decoding`.
    """

    size: Annotated[int, Field(ge=SMALLEST_SIDE)] = 512
    step: Step = 64
    pool: Annotated[int, Field(gt=0)] = 3
    nms: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.05
    decoder: Literal["quarter", "parabola"] = "quarter"
    scoring: Literal["all", "found"] = "all"
    search: Literal["full", "coarse"] = "full"

    @model_validator(mode="after")
    def _size_is_in_steps(self) -> Self:
        if self.size % self.step:
            raise ValueError(f"size must be a multiple of {self.step}, not {self.size}")
        return self

    @field_validator("pool")
    @classmethod
    def _has_a_middle(cls, pool: int) -> int:
        if pool % 2 == 0:
            raise ValueError(f"pool must be odd, so that a window has a middle, not {pool}")
        return pool

    @model_validator(mode="after")
    def _a_tile_is_wide_enough(self) -> Self:
        if self.search == "coarse" and self.pool > 3:
            raise ValueError(
                f"a coarse search smooths by 3 pixels at most, not {self.pool}: give inference.search=full"
            )
        return self
