"""The people of training sets, in one list."""

from collections.abc import Callable, Sequence

import numpy as np

from everypose.core.arrays import Int64
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.methods.top_down.samples import trainable_people


def list_people(scenes: Sequence[Scene], people_of: Callable[[Scene], Int64] = trainable_people) -> tuple[Int64, Int64]:
    """List the people of all scenes.

    Args:
        scenes: S annotated images.
        people_of: gives rows of a scene's annotations, (n,) or (n, N).

    Returns:
        (P,) each person's scene, from 0 to S - 1, and (P,) or (P, N) what ``people_of`` gave.

    >>> from pathlib import Path
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.arange(2), np.full((2, 17, 3), 2.0), np.array([[0.0, 0, 20, 40]] * 2),
    ...     np.full(2, 424.0), np.array([False, False]), [None, None],
    ... )
    >>> scene_of, row = list_people([scene, scene])
    >>> scene_of.tolist(), row.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1])
    """
    groups = [people_of(scene) for scene in scenes]
    people = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    return np.repeat(np.arange(len(groups)), [len(group) for group in groups]), people


def require_people(people: Int64, sets: Sequence[SceneSet]) -> None:
    """Check that there is a person to train on.

    Args:
        people: from `list_people`.
        sets: where they are from, for the message.

    Raises:
        EveryposeError: if there is none.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> require_people(np.zeros(0, np.int64), [SceneSet([], Skeleton.named("coco"), "train")])
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: train: no person has both a labeled keypoint and a box inside the image: ...
    """
    if not len(people):
        files = ", ".join(one.label for one in sets)
        raise EveryposeError(
            f"{files}: no person has both a labeled keypoint and a box inside the image: there is nothing to train on"
        )
