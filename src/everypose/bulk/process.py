"""The loop from images to people, shared by shards, plans and actors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from everypose.bulk.items import Item, pixels_of_item, read_item
from everypose.core.ordered_work import generator_threads
from everypose.core.process_setup import available_threads
from everypose.errors import EveryposeError
from everypose.inference.bulk import find_people
from everypose.inference.estimator import Estimator, Prepared
from everypose.people import People


@dataclass(frozen=True)
class ItemResult:
    """The result of one image.

    >>> ItemResult("a.jpg", None, "the image a.jpg is empty (0 bytes)").people is None
    True

    Attributes:
        key: the image's name in tables and records.
        people: the people in the image; None if it could not be read.
        problem: the reason why it could not be read, one line; empty otherwise.
    """

    key: str
    people: People | None
    problem: str = ""


def process_items(estimator: Estimator, items: Iterable[Item]) -> Iterator[ItemResult]:
    """Yield the people of each image; reading and decoding overlap with the network, in bounded memory.

    >>> from everypose import load
    >>> [result.problem for result in process_items(load("boir-lite"), [Item("a.jpg", b"")])]
    ['the image a.jpg is empty (0 bytes)']

    Args:
        estimator: finds the people.
        items: the images; read lazily, a few ahead of the one that is yielded.

    Raises:
        EveryposeError: if the model fails, or ``items`` raises it.
    """

    def prepare(item: Item) -> Prepared:
        prepared: Prepared = estimator.prepare(read_item(item))
        return prepared

    workers = min(4, available_threads())
    with generator_threads(workers) as pool:
        outcomes = find_people(estimator, items, pool, workers=workers, prepare=prepare, pixels=pixels_of_item)
        for item, outcome in outcomes:
            if isinstance(outcome, EveryposeError):
                yield ItemResult(item.key, None, str(outcome))
            else:
                yield ItemResult(item.key, outcome)
