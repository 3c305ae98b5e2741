"""Which images are worth labeling: those where the model is uncertain, people overlap, or a mirrored image differs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import box_iou, keypoint_boxes, oks
from everypose.data.images import read_image
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator
from everypose.people import People


@dataclass(frozen=True)
class MinedImage:
    """One image and its measures of labeling value.

    Attributes:
        path: the file.
        people: the people in it; of the attached image only the size is right, its pixels are black.
        uncertainty: mean over people of how far their keypoints' scores are from the person's best, 0 to 1.
        crowding: sum over people of the largest IoU of their box with another's.
        inconsistency: 1 minus the mean OKS of people and those of the mirrored image, 0 to 1; missing ones count 0.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (2, 17, 3))
        >>> people = People(pose, [0.9, 0.8], Skeleton.named("coco"))
        >>> MinedImage(Path("a.jpg"), people, uncertainty=0.2, crowding=0.0, inconsistency=0.1).crowding
        0.0
    """

    path: Path
    people: People
    uncertainty: float
    crowding: float
    inconsistency: float


@dataclass(frozen=True)
class RankedImage:
    """A mined image and its place among the others.

    Attributes:
        image: the image.
        value: mean percentile rank of its three measures among all images, 0 to 1.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (2, 17, 3))
        >>> people = People(pose, [0.9, 0.8], Skeleton.named("coco"))
        >>> image = MinedImage(Path("a.jpg"), people, uncertainty=0.2, crowding=0.0, inconsistency=0.1)
        >>> RankedImage(image, value=0.5).value
        0.5
    """

    image: MinedImage
    value: float


def mine(pose: Estimator, paths: Sequence[Path], failed: list[str]) -> Iterator[MinedImage]:
    """Measure each image as it is and mirrored.

    Args:
        pose: the loaded model.
        paths: image files.
        failed: receives a line for each image that cannot be read.

    >>> from everypose import load
    >>> from everypose.drawing import encode
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), ".png"))
    >>> failed = []
    >>> pose = load("boir-lite", threads=1)
    >>> [len(image.people) for image in mine(pose, [Path("a.png"), Path("missing.png")], failed)]
    [0]
    >>> len(failed)
    1
    """
    for path in paths:
        try:
            image = read_image(path)
        except EveryposeError as error:
            failed.append(str(error))
            continue
        people = pose(image)
        mirrored = unmirror(pose(np.ascontiguousarray(image[:, ::-1])), image.shape[1])
        # The size is still needed, the pixels are not: a folder of photos would not fit into memory.
        people.image = np.broadcast_to(np.zeros(1, np.uint8), image.shape)
        yield MinedImage(path, people, uncertainty(people), crowding(people), inconsistency(people, mirrored))


def rank(images: Sequence[MinedImage]) -> list[RankedImage]:
    """Order images by falling labeling value; of equal values the earlier image comes first.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (2, 17, 3))
        >>> people = People(pose, [0.9, 0.8], Skeleton.named("coco"))
        >>> images = [MinedImage(Path(name), people, value, value, value) for name, value in (("a", 0.1), ("b", 0.4))]
        >>> [str(one.image.path) for one in rank(images)]
        ['b', 'a']
    """
    measures = np.array([[one.uncertainty, one.crowding, one.inconsistency] for one in images]).reshape(-1, 3)
    values = percentile_ranks(measures).mean(axis=1)
    order = np.argsort(-values, kind="stable")
    return [RankedImage(images[index], float(values[index])) for index in order]


def percentile_ranks(measures: Float64) -> Float64:
    """The share of the other images with a smaller measure, plus half of those with an equal one.

    Args:
        measures: (N, M), one column for each measure.

    Returns:
        (N, M), from 0 to 1; 0.5 for a single image.

    >>> percentile_ranks(np.array([[0.0], [5.0], [5.0]])).ravel().tolist()
    [0.0, 0.75, 0.75]
    """
    count = len(measures)
    if count < 2:
        return np.full(measures.shape, 0.5)
    ordered = np.sort(measures, axis=0)
    ranks = np.empty(measures.shape)
    for column in range(measures.shape[1]):
        smaller = np.searchsorted(ordered[:, column], measures[:, column], side="left")
        not_larger = np.searchsorted(ordered[:, column], measures[:, column], side="right")
        ranks[:, column] = (smaller + (not_larger - smaller - 1) / 2) / (count - 1)
    return ranks


def uncertainty(people: People) -> float:
    """Mean over people of 1 minus the mean share of their keypoints' scores of the person's best; 0 without people.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.ones((1, 17, 3))
        >>> uncertainty(People(pose, [0.9], Skeleton.named("coco")))
        0.0
    """
    if not len(people):
        return 0.0
    scores = people.keypoints[..., 2].astype(np.float64)
    best = np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return float((1 - (scores / best).mean(axis=1)).mean())


def crowding(people: People) -> float:
    """Sum over people of the largest IoU of their box with another person's.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> boxes = [[0, 0, 10, 20], [0, 0, 10, 20]]
        >>> people = People(np.ones((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"), boxes=boxes)
        >>> crowding(people)
        2.0
    """
    if len(people) < 2:
        return 0.0
    overlaps = box_iou(people.boxes, people.boxes)
    np.fill_diagonal(overlaps, 0.0)
    return float(overlaps.max(axis=1).sum())


def inconsistency(people: People, mirrored: People) -> float:
    """1 minus the OKS of people in an image and in its mirrored copy, matched best first, over the larger number.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (2, 17, 3))
        >>> people = People(pose, [0.9, 0.8], Skeleton.named("coco"))
        >>> inconsistency(people, people)
        0.0
    """
    most = max(len(people), len(mirrored))
    if most == 0:
        return 0.0
    boxes = keypoint_boxes(people.keypoints[..., :2])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    similar = oks(people.keypoints, mirrored.keypoints, areas, people.skeleton.require_sigmas())
    total = 0.0
    for _ in range(min(similar.shape)):
        row, column = np.unravel_index(int(similar.argmax()), similar.shape)
        total += float(similar[row, column])
        similar = np.delete(np.delete(similar, row, axis=0), column, axis=1)
    return 1 - total / most


def unmirror(people: People, width: int) -> People:
    """The people of a mirrored image in the coordinates of the image itself.

    Args:
        people: the people that were found in the mirrored image.
        width: width of the image in pixels.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> pose = np.random.default_rng(0).uniform(10, 90, (2, 17, 3))
        >>> people = People(pose, [0.9, 0.8], Skeleton.named("coco"))
        >>> twice = unmirror(unmirror(people, 100), 100)
        >>> bool(np.allclose(twice.keypoints, people.keypoints))
        True
    """
    keypoints = people.keypoints[:, people.skeleton.flip_index].copy()
    keypoints[..., 0] = width - 1 - keypoints[..., 0]
    boxes = np.stack(
        [width - 1 - people.boxes[:, 2], people.boxes[:, 1], width - 1 - people.boxes[:, 0], people.boxes[:, 3]], axis=1
    )
    return People(keypoints, people.scores, people.skeleton, boxes=boxes)
