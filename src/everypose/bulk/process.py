"""From the images of a bulk run to their people: the loop that all ways of running it share."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from everypose.bulk.items import Item, pixels_of_item, read_item
from everypose.core.process_setup import available_threads
from everypose.errors import EveryposeError
from everypose.inference.bulk import find_people
from everypose.inference.estimator import Estimator, Prepared
from everypose.people import People


@dataclass(frozen=True)
class ItemResult:
    """The result of one image.

    Attributes:
        key: of the image.
        people: its people; None if it could not be read.
        problem: why it could not be read, one line; empty otherwise.
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
        items: taken one by one, a few ahead of what is yielded.

    Raises:
        EveryposeError: if the model fails, or ``items`` raises it.
    """

    def prepare(item: Item) -> Prepared:
        prepared: Prepared = estimator.prepare(read_item(item))
        return prepared

    workers = min(4, available_threads())
    with ThreadPoolExecutor(workers) as pool:
        outcomes = find_people(estimator, items, pool, workers=workers, prepare=prepare, pixels=pixels_of_item)
        for item, outcome in outcomes:
            if isinstance(outcome, EveryposeError):
                yield ItemResult(item.key, None, str(outcome))
            else:
                yield ItemResult(item.key, outcome)
