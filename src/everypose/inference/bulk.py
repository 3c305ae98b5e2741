"""Inference over many images: decoding, the network and saving overlap, in order and in bounded memory."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from everypose.core.arrays import Image
from everypose.core.process_setup import available_threads
from everypose.core.progress import track
from everypose.data.discovery.walk import is_file
from everypose.data.images import read_header
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator, Prepared, PreparedT
from everypose.inference.inputs import Source
from everypose.inference.outputs import Outputs
from everypose.people import People

Item = TypeVar("Item")
Result = TypeVar("Result")
Failed = list[tuple[Item, EveryposeError]]
"""Images that could not be read, with the reason."""

MOST_PIXELS = 100_000_000
"""Pixels that may wait at each stage (300 MB): a larger image goes through alone."""
MOST_NETWORK_PIXELS = 1_500_000
"""Pixels of the network's inputs that may be in work at a time: a larger input goes through alone."""


@dataclass
class Summary:
    """The result of a run over images.

    Attributes:
        images: number of images that were processed.
        people: number of people in them.
        failed: images that could not be read, with the one-line reason, which names the file.
        seconds: wall-clock time.

    >>> Summary(images=10, people=31, seconds=0.5).failed
    []
    """

    images: int = 0
    people: int = 0
    failed: list[tuple[Source, str]] = field(default_factory=list)
    seconds: float = 0.0


def predict_all(estimator: Estimator, sources: Sequence[Source], outputs: Outputs, *, quiet: bool = False) -> Summary:
    """Run the estimator on all images and write the results in their order.

    Decoding, the network and writing run in threads of their own. At most ``4 + estimator.runs_at_once`` batches of
    images and two images a worker are held at a time, fewer of large ones (`MOST_PIXELS`). Unreadable images are
    recorded in ``Summary.failed`` and skipped.

    Args:
        estimator: finds the people.
        sources: the images.
        outputs: writes the results.
        quiet: show no progress.

    Raises:
        EveryposeError: if an output cannot be written or the model fails.

    >>> import cv2, json
    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.inference.outputs import OutputOptions, open_outputs
    >>> _ = cv2.imwrite("black.png", np.zeros((64, 64, 3), np.uint8))
    >>> sources = [Source(Path("black.png"), "black", 1), Source(Path("missing.png"), "missing", 2)]
    >>> with open_outputs(Path("out"), sources, OutputOptions(save=("json",))) as outputs:
    ...     summary = predict_all(load("boir-lite", threads=1), sources, outputs, quiet=True)
    >>> summary.images, summary.people, len(summary.failed)
    (1, 0, 1)
    """
    begin = time.monotonic()
    summary = Summary()
    workers = min(4, available_threads())
    with ThreadPoolExecutor(workers) as pool:
        outcomes = find_people(
            estimator,
            sources,
            pool,
            workers=workers,
            prepare=lambda source: estimator.prepare(source.address or source.path),
            pixels=lambda source: pixels_of_file(source.path),
        )
        found = _without_failed(outcomes, summary)
        window = estimator.batch_size + workers
        saved = in_order(pool, lambda pair: outputs.save(*pair), found, window, lambda pair: _pixels(pair[1].image))
        for one in track(saved, "finding people", total=len(sources), quiet=quiet):
            outputs.add(one)
            summary.images += 1
            summary.people += len(one.result.people)
    summary.seconds = time.monotonic() - begin
    return summary


def find_people(
    estimator: Estimator,
    items: Iterable[Item],
    pool: Executor,
    *,
    workers: int,
    prepare: Callable[[Item], Prepared],
    pixels: Callable[[Item], int],
) -> Iterator[tuple[Item, People | EveryposeError]]:
    """Yield each image's people, in order; reading overlaps with the network, in bounded memory.

    Args:
        estimator: finds the people.
        items: the images.
        pool: runs the reading.
        workers: threads of the pool.
        prepare: reads an image and prepares it for the estimator; its `EveryposeError` is yielded in the image's place.
        pixels: an image's pixels before it is read; 0 if unknown.

    >>> import numpy as np
    >>> from everypose.inference.saved_people import SavedPeople
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="saved", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> pose = SavedPeople(config, {})
    >>> images = [np.zeros((64, 64, 3), np.uint8)] * 2
    >>> with ThreadPoolExecutor(1) as pool:
    ...     found = find_people(pose, images, pool, workers=1, prepare=pose.prepare, pixels=lambda image: 64 * 64)
    ...     [len(people) for _, people in found]
    [0, 0]
    """

    def read(item: Item) -> tuple[Item, Prepared | EveryposeError]:
        try:
            return item, prepare(item)
        except EveryposeError as error:
            return item, error

    # As many results come at once as a batch has images: were fewer let to wait, the next batch would wait for them.
    window = estimator.batch_size + workers
    return _through_network(estimator, in_order(pool, read, items, window, pixels))


def _without_failed(
    outcomes: Iterable[tuple[Source, People | EveryposeError]], summary: Summary
) -> Iterator[tuple[Source, People]]:
    """Yield the images that were read; record the others."""
    for source, outcome in outcomes:
        if isinstance(outcome, EveryposeError):
            summary.failed.append((source, str(outcome)))
        else:
            yield source, outcome


def in_order(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    window: int,
    size: Callable[[Item], int] = lambda _: 0,
    *,
    most: int = MOST_PIXELS,
) -> Iterator[Result]:
    """Yield ``work(item)`` for each item, in order, computed in the threads of a pool.

    Args:
        pool: runs the work.
        work: what is done with each item.
        items: taken one by one, never more than ``window`` ahead of what was yielded.
        window: the most items in work or waiting to be yielded.
        size: an item's pixels.
        most: pixels that the items in work or waiting have together, unless it is one alone.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order(pool, abs, [-3, 1, -2], window=2))
    [3, 1, 2]
    """
    waiting: deque[tuple[Future[Result], int]] = deque()
    held = 0

    def first() -> Result:
        nonlocal held
        future, pixels = waiting.popleft()
        held -= pixels
        return future.result()

    try:
        for item in items:
            pixels = size(item)
            while waiting and held + pixels > most:
                yield first()
            waiting.append((pool.submit(work, item), pixels))
            held += pixels
            if len(waiting) >= window:
                yield first()
        while waiting:
            yield first()
    finally:
        for future, _ in waiting:
            future.cancel()


def pixels_of_file(path: Path) -> int:
    """Return the pixels of an image, from its header; 0 for other kinds, and for one that cannot be read.

    >>> import cv2
    >>> import numpy as np
    >>> _ = cv2.imwrite("small.png", np.zeros((48, 64, 3), np.uint8))
    >>> pixels_of_file(Path("small.png")), pixels_of_file(Path("missing.png"))
    (3072, 0)
    """
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"):
        return 0
    if not is_file(path):  # reading the header of a pipe would take it from the image
        return 0
    try:
        header = read_header(path)
    except EveryposeError:
        return 0
    return header.width * header.height


def _pixels(image: Image | None) -> int:
    return 0 if image is None else image.shape[0] * image.shape[1]


def _through_network(
    estimator: Estimator, outcomes: Iterable[tuple[Item, Prepared | EveryposeError]]
) -> Iterator[tuple[Item, People | EveryposeError]]:
    """Run the network on batches of prepared images; errors keep their place among the people."""
    failed: Failed[Item] = []

    def batches() -> Iterator[list[tuple[tuple[Failed[Item], Item], Prepared]]]:
        nonlocal failed
        batch: list[tuple[tuple[Failed[Item], Item], Prepared]] = []
        for item, outcome in outcomes:
            if isinstance(outcome, EveryposeError):
                failed.append((item, outcome))
                continue
            batch.append(((failed, item), outcome))  # with the errors that come before it
            failed = []
            if len(batch) == estimator.batch_size or sum(_pixels(one.image) for _, one in batch) > MOST_PIXELS:
                yield batch
                batch = []
        if batch:
            yield batch

    for (before, item), people in predict_batches(estimator, batches()):
        yield from before
        yield item, people
    yield from failed


def predict_batches(
    estimator: Estimator, batches: Iterable[Sequence[tuple[Item, PreparedT]]]
) -> Generator[tuple[Item, People]]:
    """Yield each item's people, in order; the network runs in threads of its own, ahead of their use.

    One batch more than the estimator runs at a time is taken from ``batches``, so that no run waits for its input.

    Args:
        estimator: finds the people.
        batches: items and their prepared images.

    >>> import numpy as np
    >>> from everypose.inference.saved_people import SavedPeople
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="saved", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> pose = SavedPeople(config, {})
    >>> batch = [(name, pose.prepare(np.zeros((64, 64, 3), np.uint8))) for name in ("a", "b")]
    >>> [(name, len(people)) for name, people in predict_batches(pose, [batch])]
    [('a', 0), ('b', 0)]
    """

    def run(batch: Sequence[tuple[Item, PreparedT]]) -> Iterator[tuple[Item, People]]:
        people = estimator.predict([prepared for _, prepared in batch])
        return zip([item for item, _ in batch], people, strict=True)

    def pixels(batch: Sequence[tuple[Item, PreparedT]]) -> int:
        return sum(estimator.input_pixels(prepared) for _, prepared in batch)

    runs = estimator.runs_at_once
    with ThreadPoolExecutor(runs, thread_name_prefix="everypose network") as pool:
        for found in in_order(pool, run, batches, runs + 1, pixels, most=MOST_NETWORK_PIXELS):
            yield from found
