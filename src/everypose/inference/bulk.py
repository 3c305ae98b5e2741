"""Inference over many images: decoding, the network and saving overlap, in order and in bounded memory."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from everypose.core.arrays import Image
from everypose.core.ordered_work import MOST_PIXELS, in_order
from everypose.core.process_setup import available_threads, one_opencv_thread
from everypose.core.progress import track
from everypose.data.discovery.walk import is_file
from everypose.data.images import read_header
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator, Prepared
from everypose.inference.inputs import Source
from everypose.inference.outputs import Outputs
from everypose.people import People

Item = TypeVar("Item")
Failed = list[tuple[Item, EveryposeError]]
"""Images that could not be read, with the reason."""


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
    >>> from everypose.inference.outputs import open_outputs
    >>> from everypose.inference.run_files import OutputOptions
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
    # The functions for a single image may divide it among OpenCV's threads; several images have a thread each.
    with one_opencv_thread() if len(sources) > 1 else nullcontext(), ThreadPoolExecutor(workers) as pool:
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

    for (before, item), people in estimator.predict_batches(batches()):
        yield from before
        yield item, people
    yield from failed
