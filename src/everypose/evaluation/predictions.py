"""A model's predictions on the images of an annotation file."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everypose.data.annotation_files import image_path
from everypose.inference.bulk import in_order
from everypose.progress import track

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator, Prepared
    from everypose.people import People


def predict_images(
    estimator: "Estimator", images: list[dict[str, Any]], image_root: Path, categories: dict[Any, int], quiet: bool
) -> list[dict[str, Any]]:
    """COCO results of images, threads reading ahead of the network.

    Args:
        estimator: what finds the people.
        images: entries of the annotation file.
        image_root: what their file names are relative to.
        categories: image id to the category id of its results; images that it does not name are left out.
        quiet: no progress.

    Raises:
        EveryposeError: when an image is missing or cannot be read: a score of the others would not be comparable.
    """
    workers = min(4, os.cpu_count() or 1)
    results: list[dict[str, Any]] = []
    images = [image for image in images if image["id"] in categories]
    with ThreadPoolExecutor(workers) as pool:
        names = (str(image["file_name"]) for image in images)
        paths = (image_path(image_root, name) or image_root / name for name in names)
        prepared = in_order(pool, estimator.prepare, paths, estimator.batch_size + workers)
        found = _through_network(estimator, prepared)
        pairs = zip(images, found, strict=True)
        for image, people in track(pairs, "finding people", total=len(images), quiet=quiet):
            results += people.to_coco(image["id"], categories[image["id"]])
    return results


def _through_network(estimator: "Estimator", prepared: Iterator["Prepared"]) -> Iterator["People"]:
    batch: list[Prepared] = []
    for one in prepared:
        batch.append(one)
        if len(batch) == estimator.batch_size:
            yield from estimator.predict(batch)
            batch = []
    if batch:
        yield from estimator.predict(batch)
