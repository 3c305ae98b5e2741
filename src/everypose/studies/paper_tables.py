"""The tables of the papers; ``reproduction.toml`` has them, ``published.toml`` the numbers of models."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from everypose.core.decoder_names import Decoder
from everypose.core.settings import Settings
from everypose.errors import UsageError
from everypose.evaluation.report.published import Published, published_from
from everypose.models.catalog import catalog

ALL = "all"
FINE_TUNED = "fine-tuned"
"""A word in the note of results of fine-tuned weights."""


class Recipe(Settings):
    """The recipe of a result.

    Attributes:
        model: name of the model there.
        dataset: name of the data set.
        fine_tuned: whether the weights were trained on another data set before.
        name: of the recipe.

    >>> Recipe(model="BoIR-W32", dataset="crowdpose", fine_tuned=True, name="boir-w32-crowdpose-finetune").fine_tuned
    True
    """

    model: str
    dataset: str
    fine_tuned: bool
    name: str


class Decoders(Settings):
    """The decoders of results whose authors evaluate a model otherwise than it was trained.

    Attributes:
        source: of the published results.
        dataset: name of the data set.
        published: decoder of the published numbers.
        trained: decoder of the model's training, with which it is scored a second time.

    >>> Decoders(source="a paper", dataset="ochuman", published="quarter", trained="udp").trained
    'udp'
    """

    source: str
    dataset: str
    published: Decoder
    trained: Decoder


class Weights(NamedTuple):
    """The weights of a published result.

    Attributes:
        name: of the model, in the catalog or as a recipe.
        skeleton: which one to choose of a model of several; None for the others.
        bundled: the file in the package, if there is one.

    >>> Weights("posebh-b", skeleton="coco").bundled is None
    True
    """

    name: str
    skeleton: str | None = None
    bundled: str | None = None


class PaperTable(Settings):
    """One table.

    Attributes:
        name: for the command line.
        title: what it shows.
        paper: the paper and its table.
        protocol: how the numbers were computed.
        source: of the published results that are its rows; "" if it has other rows.
        datasets: only results on these; empty for all.
        command: what computes other rows on the user's data.
        rows: rows that are no results of models, column to printed value.

    >>> PaperTable(name="t1", title="a table", paper="a paper, Table 1", protocol="AP").results()
    []
    """

    name: str
    title: str
    paper: str
    protocol: str
    source: str = ""
    datasets: tuple[str, ...] = ()
    command: str = ""
    rows: tuple[dict[str, float | str], ...] = ()

    def results(self) -> list[Published]:
        """The published results that are its rows, in printed order."""
        return [
            result
            for result in (published_from(self.source) if self.source else [])
            if not self.datasets or result.dataset in self.datasets
        ]


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """All tables.

    >>> paper_tables()[0].name
    'boir'
    """
    return tuple(PaperTable.model_validate(entry) for entry in _content()["table"])


@cache
def _content() -> dict[str, list[dict[str, Any]]]:
    text = (resources.files("everypose.studies") / "reproduction.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def find_tables(names: list[str]) -> list[PaperTable]:
    """The tables of some names; "all" is all of them.

    Raises:
        UsageError: if there is no table of a name.

    >>> [table.name for table in find_tables(["mipnet-2"])]
    ['mipnet-2']
    """
    known = {table.name: table for table in paper_tables()}
    if unknown := [name for name in names if name not in known and name != ALL]:
        raise UsageError(f"there is no table {unknown[0]!r}; the tables are {', '.join(known)}, or {ALL}")
    return list(known.values()) if ALL in names else [known[name] for name in names]


def decoders_of(result: Published) -> Decoders | None:
    """The decoders of a published result; None if the model's own is the one of its numbers.

    >>> found = decoders_of(next(one for one in published_from("PoseBH, released README") if one.dataset == "ochuman"))
    >>> found.published, found.trained
    ('quarter', 'udp')
    """
    listed = map(Decoders.model_validate, _content()["decoders"])
    return next((one for one in listed if (one.source, one.dataset) == (result.source, result.dataset)), None)


def weights_of(result: Published) -> Weights | None:
    """The weights that a published result is of; None if everypose has no such model.

    Models of several data sets are listed in the catalog with some of them only.

    >>> weights_of(published_from("PoseBH, released README")[1])
    Weights(name='posebh-b', skeleton='coco', bundled=None)
    """
    for recipe in map(Recipe.model_validate, _content()["recipe"]):
        if (recipe.model, recipe.dataset, recipe.fine_tuned) == (
            result.model,
            result.dataset,
            FINE_TUNED in result.note,
        ):
            return Weights(recipe.name)
    named = [
        entry
        for entry in catalog().model
        if entry.published is not None
        and entry.published.model == result.model
        and entry.published.input_size in (None, result.input_size)
    ]
    exact = [entry for entry in named if entry.published and result.dataset in entry.published.datasets]
    several = [entry for entry in named if len(entry.data) > 1 and result.dataset in entry.data]
    for entry in exact + several:
        skeleton = result.dataset if len(entry.data) > 1 and result.dataset in entry.data else None
        return Weights(entry.name, skeleton, entry.bundled)
    return None
