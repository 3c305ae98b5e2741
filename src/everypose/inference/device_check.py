"""The self-check of ``--device auto``: speed of devices, and agreement of their people, on built-in pictures."""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import keypoint_boxes, oks
from everypose.core.settings import Settings
from everypose.errors import EveryposeError
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.estimator import Estimator
from everypose.people import People

ROUNDS = 5
SECONDS = 10.0
"""No new round of timing begins after this time."""
PICTURES: Mapping[str, Sequence[tuple[int, int, int, int]]] = {
    "pedestrians.jpg": (
        (448, 162, 488, 265), (43, 263, 131, 411), (420, 60, 455, 143), (250, 59, 281, 147), (103, 261, 165, 401),
    ),
    "group.jpg": (
        (346, 87, 377, 184), (31, 59, 58, 129), (139, 69, 170, 148), (248, 70, 276, 148), (209, 71, 239, 152),
        (166, 71, 196, 153),
    ),
}  # fmt: skip
"""The pictures of the self-check, with the boxes x1 y1 x2 y2 of their people for top-down models."""
OTHER_SIGMA = 0.05
"""OKS sigma of keypoints whose own is not known."""

Open = Callable[[str], Estimator]
"""Opens the model on a device; raises EveryposeError if it cannot."""


class Candidate(Settings):
    """What the self-check found about a device.

    Attributes:
        device: as in :func:`everypose.load`.
        seconds: fastest pass over the pictures; None if the device could not be used.
        agreement: mean OKS with the people that the reference finds; None if there were none.
        problem: why the device could not be used.

    >>> Candidate(device="cuda", problem="it is not available").seconds is None
    True
    """

    device: str
    seconds: float | None = None
    agreement: float | None = None
    problem: str | None = None


def check(open_on: Open, devices: Sequence[str]) -> list[Candidate]:
    """Time devices on the built-in pictures, in turns, and compare their people with the first one's.

    Args:
        open_on: opens the model on a device.
        devices: the reference first.

    Raises:
        EveryposeError: if the reference cannot be used.

    >>> from everypose.inference.saved_people import SavedPeople
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="saved", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> person = People(np.arange(51.0).reshape(1, 17, 3), [0.9], config.skeleton)
    >>> saved = SavedPeople(config, dict.fromkeys(pictures(), person))
    >>> [candidate] = check(lambda device: saved, ["cpu"])
    >>> candidate.agreement  # the reference agrees with itself
    1.0
    """
    estimators: dict[str, Estimator] = {}
    found: dict[str, list[People]] = {}
    problems: dict[str, str] = {}
    for device in devices:
        try:
            estimator = open_on(device)
            least = estimator.min_score
            estimator.min_score = least / 2  # less confident people are partners of confident ones
            found[device] = _run(estimator)
        except EveryposeError as error:
            if device == devices[0]:
                raise
            problems[device] = str(error)
        else:
            estimators[device] = estimator
    seconds = _times(estimators)
    return [
        Candidate(device=device, problem=problems[device])
        if device in problems
        else Candidate(
            device=device,
            seconds=round(seconds[device], 4),
            agreement=agreement(found[devices[0]], found[device], least),
        )
        for device in devices
    ]


def agreement(reference: Sequence[People], other: Sequence[People], least: float) -> float | None:
    """Mean OKS of each confident person with the nearest person of the other list, in both directions.

    Args:
        reference: people of some images.
        other: people of the same images.
        least: score of a confident person; those below are partners only.

    Returns:
        0 to 1; None if no person of the reference is confident.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People(np.arange(51.0).reshape(1, 17, 3), [0.9], Skeleton.named("coco"))
    >>> agreement([people], [people], least=0.5), agreement([people], [people[:0]], least=0.5)
    (1.0, 0.0)
    """
    if not any((people.scores >= least).any() for people in reference):
        return None
    best = [
        _best_oks(first, second, least)
        for pair in zip(reference, other, strict=True)
        for first, second in (pair, pair[::-1])
    ]
    return round(float(np.concatenate(best).mean()), 5)


def _best_oks(people: People, partners: People, least: float) -> Float64:
    """For each confident person the OKS with the most similar partner; 0 without partners."""
    confident = people.keypoints[people.scores >= least]
    if not len(confident) or not len(partners):
        return np.zeros(len(confident))
    boxes = keypoint_boxes(confident[..., :2])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    sigmas = np.array(people.skeleton.sigmas or [OTHER_SIGMA] * len(people.skeleton))
    best: Float64 = oks(confident, partners.keypoints, areas, sigmas).max(axis=1)
    return best


def pictures() -> list[Path]:
    """The pictures of the self-check.

    >>> [path.name for path in pictures()]
    ['pedestrians.jpg', 'group.jpg']
    """
    folder = Path(str(resources.files("everypose") / "examples"))
    return [folder / name for name in PICTURES]


def boxes_of(photo: Photo) -> Boxes:
    """The people's boxes of a picture of the self-check, as a detector gives them.

    >>> len(boxes_of(Photo(np.zeros((1, 1, 3), np.uint8), pictures()[0])))
    5
    """
    assert photo.path is not None
    boxes = np.array(PICTURES[photo.path.name], np.float64)
    return Boxes(boxes, np.ones(len(boxes)))


def _run(estimator: Estimator) -> list[People]:
    return estimator.predict([estimator.prepare(path) for path in pictures()])


def _times(estimators: Mapping[str, Estimator]) -> dict[str, float]:
    """Seconds of each estimator's fastest pass over the pictures, which are read before; they take turns."""
    prepared = {device: [one.prepare(path) for path in pictures()] for device, one in estimators.items()}
    seconds: dict[str, list[float]] = {device: [] for device in estimators}
    begin = time.monotonic()
    for done in range(ROUNDS):
        if done and time.monotonic() - begin > SECONDS:
            break
        for device, estimator in estimators.items():
            start = time.perf_counter()
            estimator.predict(prepared[device])
            seconds[device].append(time.perf_counter() - start)
    return {device: min(each) for device, each in seconds.items()}
