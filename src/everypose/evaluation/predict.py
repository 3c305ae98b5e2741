"""A model's predictions on the images of an annotated set, as COCO results."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from everypose.core.ordered_work import generator_threads, in_order
from everypose.core.process_setup import available_threads
from everypose.core.progress import track
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.coco_schema import JsonId
from everypose.inference.top_down import BoxPoses, TopDownEstimator, as_top_down
from everypose.methods.top_down.scoring import person_scores
from everypose.people import People

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator

Found = TypeVar("Found")


@dataclass(frozen=True)
class ImagePoses:
    """The poses in the boxes of one image, before people are scored and duplicates suppressed.

    Attributes:
        image_id: the image.
        category_id: the category of its results.
        poses: the poses in its boxes.

    >>> import numpy as np
    >>> from everypose.inference.boxes import Boxes
    >>> boxes = Boxes(np.array([[0.0, 0, 10, 20]]), np.array([0.9]))
    >>> poses = BoxPoses(boxes, sizes=np.full((1, 2), 25.0), keypoints=np.zeros((1, 2, 17, 3)))
    >>> ImagePoses(image_id=1, category_id=1, poses=poses).image_id
    1
    """

    image_id: JsonId
    category_id: JsonId
    poses: BoxPoses


def predict_images(estimator: "Estimator", annotated: AnnotatedSet, *, quiet: bool = False) -> list[dict[str, Any]]:
    """COCO results of all images of a set.

    Args:
        estimator: the model.
        annotated: the set.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if an image is missing or cannot be read: a score of the others would not be comparable.

    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> annotated = AnnotatedSet.read(layout)
    >>> predict_images(load("boir-lite", threads=1), annotated, quiet=True)
    []
    """
    found = predict_people(estimator, annotated)
    return [
        row
        for image_id, people in track(found, "predicting", total=len(annotated.paths), quiet=quiet)
        for row in image_results(estimator, annotated, image_id, people=people)
    ]


def predict_people(estimator: "Estimator", annotated: AnnotatedSet) -> Iterator[tuple[JsonId, People]]:
    """Each image's id and its people, in the order of ``annotated.paths``; errors as ``predict_images``.

    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> annotated = AnnotatedSet.read(layout)
    >>> [(image_id, len(people)) for image_id, people in predict_people(load("boir-lite", threads=1), annotated)]
    [(1, 0)]
    """
    return _run(estimator, estimator.predict, annotated)


def image_results(
    estimator: "Estimator", annotated: AnnotatedSet, image_id: JsonId, *, people: People
) -> list[dict[str, Any]]:
    """COCO results of one image.

    Results of top-down models have no ``bbox``, as these methods are published: the area of a detection is then the
    extent of its keypoints and not the crop's box, which decides on COCO's AP of medium and large people.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> annotated = AnnotatedSet.read(layout)
    >>> people = People(np.ones((1, 17, 3)), [0.9], annotated.skeleton)
    >>> [result] = image_results(load("boir-lite", threads=1), annotated, 1, people=people)
    >>> result["image_id"], result["category_id"], result["score"]
    (1, 1, 0.9)
    """
    ids = {"image_id": image_id, "category_id": annotated.category_of_image[image_id]}
    rows = [row | ids for row in people.to_coco(0)]
    return _without_boxes(rows) if as_top_down(estimator) is not None else rows


def predict_box_poses(estimator: TopDownEstimator, annotated: AnnotatedSet, *, quiet: bool = False) -> list[ImagePoses]:
    """The poses in all boxes of every image, before suppression; arguments and errors as ``predict_images``.

    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.data.discovery.layouts import Layout
    >>> from everypose.evaluation.box_source import annotated_boxes
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> annotated = AnnotatedSet.read(layout)
    >>> pose = load("mipnet-lite", threads=1, detector=annotated_boxes(annotated))
    >>> [image] = predict_box_poses(pose, annotated, quiet=True)
    >>> image.poses.keypoints.shape  # two instances in one box
    (1, 2, 17, 3)
    """
    found = track(_run(estimator, estimator.poses, annotated), "predicting", total=len(annotated.paths), quiet=quiet)
    return [ImagePoses(image_id, annotated.category_of_image[image_id], poses) for image_id, poses in found]


def box_pose_results(estimator: TopDownEstimator, images: Iterable[ImagePoses]) -> list[dict[str, Any]]:
    """COCO results of poses in boxes: people are scored and duplicates suppressed.

    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.inference.box_sources import WholeImage
    >>> from everypose.inference.boxes import Boxes
    >>> boxes = Boxes(np.array([[0.0, 0, 40, 90]]), np.array([0.9]))
    >>> poses = BoxPoses(boxes, sizes=np.full((1, 2), 100.0), keypoints=np.ones((1, 2, 17, 3)))
    >>> pose = load("mipnet-lite", threads=1, detector=WholeImage())
    >>> len(box_pose_results(pose, [ImagePoses(1, 1, poses)]))  # both instances have one pose: a duplicate
    1
    """
    return [
        row | {"image_id": image.image_id, "category_id": image.category_id}
        for image in images
        for row in _without_boxes(estimator.people(image.poses).to_coco(0))
    ]


def predict_annotated_people(
    estimator: TopDownEstimator, annotated: AnnotatedSet, *, quiet: bool = False
) -> list[dict[str, Any]]:
    """One result for each annotated person: the primary instance in their annotated box.

    Args:
        estimator: a model that takes the annotated boxes.
        annotated: the set.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if an image is missing or cannot be read, or an annotated box cannot be cropped.

    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.data.discovery.layouts import Layout
    >>> from everypose.evaluation.box_source import annotated_boxes
    >>> layout = Layout((Path("people.json"),), Path(), None, None, "one black image")
    >>> annotated = AnnotatedSet.read(layout)
    >>> pose = load("mipnet-lite", threads=1, detector=annotated_boxes(annotated))
    >>> [result["annotation_id"] for result in predict_annotated_people(pose, annotated, quiet=True)]
    [7]
    """
    results: list[dict[str, Any]] = []
    for image in predict_box_poses(estimator, annotated, quiet=quiet):
        rows, poses = annotated.rows_of_image[image.image_id], image.poses
        if len(rows) != len(poses.boxes):
            raise EveryposeError(
                f"{len(rows) - len(poses.boxes)} annotated boxes of {annotated.paths[image.image_id]} cannot be cropped"
                " (no area, outside, too small), and this metric takes a prediction for each person"
            )
        primary = poses.keypoints[:, 0]
        scores = person_scores(primary, poses.boxes.scores)
        results += [
            {
                "image_id": image.image_id,
                "category_id": image.category_id,
                "annotation_id": annotated.ground_truth.annotation_ids[row],
                "keypoints": keypoints.ravel().tolist(),
                "score": float(score),
            }
            for row, keypoints, score in zip(rows, primary, scores, strict=True)
        ]
    return results


def _without_boxes(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results without ``bbox``."""
    return [{key: value for key, value in result.items() if key != "bbox"} for result in results]


def _run(
    estimator: "Estimator", predict: Callable[[list[Any]], list[Found]], annotated: AnnotatedSet
) -> Iterator[tuple[JsonId, Found]]:
    """Each image's id and prediction, batch by batch; threads decode images ahead of the network."""
    workers = min(4, available_threads())
    with generator_threads(workers) as pool:
        prepared = in_order(pool, estimator.prepare, annotated.paths.values(), estimator.batch_size + workers)
        yield from zip(annotated.paths, _in_batches(predict, prepared, estimator.batch_size), strict=True)


def _in_batches(predict: Callable[[list[Any]], list[Found]], prepared: Iterator[Any], size: int) -> Iterator[Found]:
    batch: list[Any] = []
    for one in prepared:
        batch.append(one)
        if len(batch) == size:
            yield from predict(batch)
            batch = []
    if batch:
        yield from predict(batch)
