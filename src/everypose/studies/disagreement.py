"""Models side by side on the same photos, the largest disagreements first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from everypose.core.files import write_bytes, write_json
from everypose.core.geometry import keypoint_boxes, oks
from everypose.core.progress import track
from everypose.drawing import contact_sheet, draw_people, encode
from everypose.errors import EveryposeError, UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

CELL = (560, 560)
COLUMNS = 3


class PoseModel(Protocol):
    """What finds people in images: an estimator.

    >>> class Empty:
    ...     skeleton = Skeleton.named("coco")
    ...     def __call__(self, images):
    ...         return People.empty(self.skeleton)
    >>> model: PoseModel = Empty()
    >>> len(model(Path("a.jpg")))
    0
    """

    @property
    def skeleton(self) -> Skeleton: ...  # noqa: D102

    def __call__(self, images: Path) -> People: ...  # noqa: D102


@dataclass(frozen=True)
class Disagreement:
    """How much models disagree on an image.

    Attributes:
        image: the file.
        amount: mean over the pairs of models of the people not agreed upon; see ``disagreement``.
        people: how many people each model found.

    >>> Disagreement(Path("a.jpg"), amount=1.5, people=(3, 4)).people
    (3, 4)
    """

    image: Path
    amount: float
    people: tuple[int, ...]


def disagreement(first: People, second: People) -> float:
    """The people that two models do not agree on: 1 for each unmatched person, 1 - OKS for each matched pair.

    Pairs are matched greedily, the greatest OKS first; a pair's area is the mean of both poses' extents.

    >>> someone = People(np.arange(51.0).reshape(1, 17, 3), [0.9], Skeleton.named("coco"))
    >>> disagreement(someone, someone), disagreement(someone, someone[:0])
    (0.0, 1.0)
    """
    similar = _similarities(first, second)
    unmatched = float(max(len(first), len(second)))
    matched = 0.0
    # Rows and columns of a matched pair become -1, so that each person is matched once.
    for _ in range(min(similar.shape)):
        row, column = np.unravel_index(similar.argmax(), similar.shape)
        matched += float(similar[row, column])
        similar[row], similar[:, column] = -1, -1
    return unmatched - matched


def _similarities(first: People, second: People) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    extents = []
    for people in (first, second):
        boxes = keypoint_boxes(people.keypoints[..., :2])
        extents.append((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    areas = (extents[0][:, None] + extents[1][None, :]) / 2
    return oks(first.keypoints, second.keypoints, areas, first.skeleton.require_sigmas())


def require_one_skeleton(models: Sequence[PoseModel], names: Sequence[str]) -> None:
    """Check that there are several models with the same keypoints.

    Raises:
        UsageError: if not.

    >>> from types import SimpleNamespace
    >>> models = [SimpleNamespace(skeleton=Skeleton.named(name)) for name in ("coco", "mpii")]
    >>> require_one_skeleton(models, ["boir-lite", "mine"])
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: boir-lite has the keypoints of coco and mine those of mpii: they cannot be compared
    """
    if len(models) < 2:
        raise UsageError("--pictures compares models: name two or more")
    first = models[0].skeleton
    for model, name in zip(models, names, strict=True):
        if model.skeleton.keypoints != first.keypoints:
            raise UsageError(
                f"{names[0]} has the keypoints of {first.name} and {name} those of {model.skeleton.name}:"
                " they cannot be compared"
            )


def compare_on_images(
    models: Sequence[PoseModel], images: Sequence[Path], *, problems: list[str], quiet: bool = False
) -> list[Disagreement]:
    """Run all models on all images.

    Args:
        models: with the same skeleton.
        images: image files.
        problems: receives one line for each image that cannot be read.
        quiet: show no progress bar.

    Returns:
        The images, the largest disagreement first.

    >>> class Found:
    ...     skeleton = Skeleton.named("coco")
    ...     def __init__(self, number):
    ...         self.number = number
    ...     def __call__(self, images):
    ...         image = np.zeros((48, 64, 3), np.uint8)
    ...         pose = np.random.default_rng(0).uniform(10, 40, (self.number, 17, 3))
    ...         return People(pose, np.full(self.number, 0.9), self.skeleton, image=image)
    >>> [one] = compare_on_images([Found(1), Found(3)], [Path("a.jpg")], problems=[], quiet=True)
    >>> one.people
    (1, 3)
    """
    found = []
    for image in track(images, "comparing", quiet=quiet):
        try:
            people = [model(image) for model in models]
        except EveryposeError as error:
            problems.append(str(error))
            continue
        pairs = [disagreement(one, other) for one, other in combinations(people, 2)]
        found.append(Disagreement(image, float(np.mean(pairs)), tuple(len(each) for each in people)))
    return sorted(found, key=lambda each: -each.amount)


def write_pictures(
    folder: Path, ranked: Sequence[Disagreement], models: Sequence[PoseModel], names: Sequence[str], *, most: int
) -> list[Path]:
    """Write a picture for each of the first images, all models side by side, and ``disagreements.json``.

    Args:
        folder: to write to.
        ranked: the images, the largest disagreement first.
        models: run again on these images, so that not all people of all images are kept in memory.
        names: of the models, for captions.
        most: how many pictures.

    Returns:
        The paths of the pictures.

    >>> class Found:
    ...     skeleton = Skeleton.named("coco")
    ...     def __init__(self, number):
    ...         self.number = number
    ...     def __call__(self, images):
    ...         image = np.zeros((48, 64, 3), np.uint8)
    ...         pose = np.random.default_rng(0).uniform(10, 40, (self.number, 17, 3))
    ...         return People(pose, np.full(self.number, 0.9), self.skeleton, image=image)
    >>> models, ranked = [Found(1), Found(3)], [Disagreement(Path("a.jpg"), amount=1.5, people=(1, 3))]
    >>> [path.name for path in write_pictures(Path("pictures"), ranked, models, ["one", "three"], most=5)]
    ['1-a.jpg']
    """
    written = []
    digits = len(str(most))
    for rank, each in enumerate(ranked[:most], start=1):
        panels, captions = [], []
        for model, name in zip(models, names, strict=True):
            people = model(each.image)
            assert people.image is not None
            panels.append(draw_people(people.image, people))
            captions.append(f"{name}: {len(people)} people")
        path = folder / f"{rank:0{digits}}-{each.image.stem[:100]}.jpg"
        write_bytes(path, encode(contact_sheet(panels, captions, columns=COLUMNS, cell=_cell(panels[0].shape)), ".jpg"))
        written.append(path)
    write_json(folder / "disagreements.json", {"models": list(names), "images": rows_of(ranked)}, indent=1)
    return written


def rows_of(ranked: Sequence[Disagreement]) -> list[dict[str, Any]]:
    """The ranking as JSON values.

    >>> rows_of([Disagreement(Path("a.jpg"), amount=1.5, people=(3, 4))])
    [{'image': 'a.jpg', 'disagreement': 1.5, 'people': [3, 4]}]
    """
    return [
        {"image": str(each.image), "disagreement": round(each.amount, 4), "people": list(each.people)}
        for each in ranked
    ]


def _cell(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a panel with the image's aspect within ``CELL``."""
    factor = min(CELL[0] / shape[1], CELL[1] / shape[0])
    return max(1, round(factor * shape[1])), max(1, round(factor * shape[0]))
