"""The list of training people against a literal count, and the error for sets without any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.data.scenes import SceneSet
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton
from everypose.training.tasks.people import list_people, require_people

COCO = Skeleton.named("coco")


@given(st.lists(st.integers(0, 4), max_size=6), st.sampled_from([None, 1, 3]))
def test_people_are_listed_scene_by_scene(counts, per_crop):
    shape = () if per_crop is None else (per_crop,)
    groups = [np.full((count, *shape), 10 * number) + np.zeros(shape, int) for number, count in enumerate(counts)]
    scene_of, people = list_people(range(len(groups)), people_of=lambda scene: groups[scene])
    expected = [(number, row.tolist()) for number, group in enumerate(groups) for row in group]
    assert list(zip(scene_of.tolist(), people.tolist(), strict=True)) == expected


def test_without_scenes_there_are_no_people():
    scene_of, people = list_people([])
    assert len(scene_of) == len(people) == 0


def test_sets_without_people_are_named():
    sets = [SceneSet([], COCO, name) for name in ("one", "two")]
    with pytest.raises(EveryposeError, match=r"^one, two: no person has both a labeled keypoint and a box"):
        require_people(np.zeros(0, np.int64), sets)
    require_people(np.zeros(1, np.int64), sets)
