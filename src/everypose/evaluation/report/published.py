"""Published results to compare with; ``published.toml`` has the numbers, each with its source."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict


class Published(BaseModel):
    """One published result.

    Attributes:
        source: paper, table and row, or web page.
        model: name of the model.
        dataset: name of the data set.
        split: name of the split.
        boxes: where boxes come from, in the words of ``Protocol``.
        numbers: name to number in percent, EPE in pixels.
        input_size: as published.
        note: what a reader must know to compare it.

    >>> Published(source="a paper", model="m", dataset="coco", split="val", boxes="none", numbers={"AP": 70.6}).note
    ''
    """

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
    """The published results on a split, by boxes and then by AP (or the first number), ascending.

    >>> [(result.model, result.numbers["AP"]) for result in published("ochuman", "val")][:2]
    [('HRNet-W48', 37.8), ('HRNet-W48 MIPNet', 42.0)]
    """
    found = [result for result in _all() if (result.dataset, result.split) == (dataset, split)]
    return sorted(found, key=lambda result: (result.boxes, next(iter(result.numbers.values()))))


def published_of(
    model: str, datasets: tuple[str, ...], input_size: str | None = None, note: str | None = None
) -> list[Published]:
    """The published results of one model, by data set in the given order, split and AP, each descending.

    Args:
        model: name of the model.
        datasets: names of the data sets.
        input_size: as published; None for any.
        note: as published, "" for none; None for any.

    >>> published_of("BoIR W32", ("coco",))[0].split
    'val'
    """
    found = [
        result
        for result in _all()
        if result.model == model
        and result.dataset in datasets
        and input_size in (None, result.input_size)
        and note in (None, result.note)
    ]
    splits = ("val", "test-dev", "test")
    return sorted(
        found,
        key=lambda one: (datasets.index(one.dataset), splits.index(one.split), -next(iter(one.numbers.values()))),
    )


def published_from(source: str) -> list[Published]:
    """The published results of one source, in printed order.

    >>> published_from("PoseBH, released README")[0].model
    'ViTPose++-B'
    """
    return [result for result in _all() if result.source == source]


@cache
def _all() -> tuple[Published, ...]:
    text = (resources.files("everypose.evaluation.report") / "published.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["result"]
    return tuple(Published.model_validate(entry) for entry in entries)
