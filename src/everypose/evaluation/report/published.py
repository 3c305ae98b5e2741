"""Published numbers, to put beside one's own. The data are in ``published.toml``, each with its source."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict


class Published(BaseModel):
    """One published result; ``numbers`` in percent (EPE in pixels), ``boxes`` as in a record's protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    model: str
    dataset: str
    split: str
    boxes: str
    numbers: dict[str, float]
    input_size: str = ""
    note: str = ""


def published(dataset: str, split: str) -> list[Published]:
    """The published results on a split, best AP (or first number) last."""
    found = [result for result in _all() if (result.dataset, result.split) == (dataset, split)]
    return sorted(found, key=lambda result: (result.boxes, next(iter(result.numbers.values()))))


@cache
def _all() -> tuple[Published, ...]:
    text = (resources.files("everypose.evaluation.report") / "published.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["result"]
    return tuple(Published.model_validate(entry) for entry in entries)
