"""A model's predictions on the images of a labelled set."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from everypose.core.progress import track
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import LabelledSet
from everypose.evaluation.box_poses import without_boxes
from everypose.inference.bulk import in_order
from everypose.inference.top_down import BoxPoses, TopDownEstimator
from everypose.methods.top_down.scoring import person_scores

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator

Found = TypeVar("Found")


def predict_images(estimator: "Estimator", labelled: LabelledSet, quiet: bool) -> list[dict[str, Any]]:
    """COCO results of the images.

    Raises:
        EveryposeError: when an image is missing or cannot be read: a score of the others would not be comparable.
    """
    results: list[dict[str, Any]] = []
    for image_id, people in _look_through(estimator, estimator.predict, labelled, quiet):
        rows = people.to_coco(image_id, labelled.categories[image_id])
        results += without_boxes(rows) if isinstance(estimator, TopDownEstimator) else rows
    return results


def predict_boxes(estimator: TopDownEstimator, labelled: LabelledSet, quiet: bool) -> list[tuple[Any, int, BoxPoses]]:
    """Of each image its id, the category id of its results, and the poses in its boxes; errors as `predict_images`."""
    looked = _look_through(estimator, estimator.poses, labelled, quiet)
    return [(image_id, labelled.categories[image_id], found) for image_id, found in looked]


def predict_annotated(estimator: TopDownEstimator, labelled: LabelledSet, quiet: bool) -> list[dict[str, Any]]:
    """One result for each annotated person, whose box the estimator must look at: the primary person in it.

    Raises:
        EveryposeError: when an image is missing or cannot be read, or somebody's box cannot be cropped.
    """
    results: list[dict[str, Any]] = []
    for image_id, category, found in predict_boxes(estimator, labelled, quiet):
        rows = labelled.people_of_images[image_id]
        if len(rows) != len(found.boxes):
            raise EveryposeError(
                f"{len(rows) - len(found.boxes)} annotated boxes of {labelled.paths[image_id]} cannot be cropped (no"
                " area, outside, too small), and this metric takes a prediction for each person"
            )
        primary = found.keypoints[:, 0]
        scores = person_scores(primary, found.boxes.scores)
        results += [
            {
                "image_id": image_id,
                "category_id": category,
                "annotation_id": labelled.people.annotation_ids[row],
                "keypoints": keypoints.ravel().tolist(),
                "score": float(score),
            }
            for row, keypoints, score in zip(rows, primary, scores, strict=True)
        ]
    return results


def _look_through(
    estimator: "Estimator", look: Callable[[list[Any]], list[Found]], labelled: LabelledSet, quiet: bool
) -> Iterator[tuple[Any, Found]]:
    """Each image's id and what ``look`` finds there, batch by batch; threads read ahead of the network."""
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        prepared = in_order(pool, estimator.prepare, labelled.paths.values(), estimator.batch_size + workers)
        found = _in_batches(look, prepared, estimator.batch_size)
        pairs = zip(labelled.paths, found, strict=True)
        yield from track(pairs, "finding people", total=len(labelled.paths), quiet=quiet)


def _in_batches(look: Callable[[list[Any]], list[Found]], prepared: Iterator[Any], size: int) -> Iterator[Found]:
    batch: list[Any] = []
    for one in prepared:
        batch.append(one)
        if len(batch) == size:
            yield from look(batch)
            batch = []
    if batch:
        yield from look(batch)
