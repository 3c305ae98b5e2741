"""Disagreement of models on an image."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import EveryposeError, UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.studies.disagreement import compare_on_images, disagreement, require_one_skeleton, write_pictures

COCO = Skeleton.named("coco")


def people(*places):
    """People of the same pose, 100 pixels large, at these offsets."""
    pose = np.random.default_rng(0).uniform(0, 100, (17, 2))
    keypoints = np.ones((len(places), 17, 3))
    for row, place in enumerate(places):
        keypoints[row, :, :2] = pose + place
    return People(keypoints, np.ones(len(places)), COCO)


def test_the_same_people_agree_and_others_do_not():
    some = people(0, 500, 900)
    assert disagreement(some, some[[2, 0, 1]]) == pytest.approx(0)
    assert disagreement(some, people()) == 3
    assert disagreement(some, people(500)) == pytest.approx(2)
    assert disagreement(people(0), people(2000)) == pytest.approx(1)
    moved = people(0).keypoints.copy()
    moved[..., 0] += 5
    pose = people(0).keypoints[0, :, :2].astype(np.float64)
    area = float(np.prod(pose.max(axis=0) - pose.min(axis=0)))
    expected = np.mean(np.exp(-25 / (2 * (2 * np.asarray(COCO.sigmas)) ** 2 * area)))
    assert disagreement(people(0), People(moved, np.ones(1), COCO)) == pytest.approx(1 - expected, abs=1e-5)


@given(st.lists(st.integers(0, 1000), max_size=4), st.lists(st.integers(0, 1000), max_size=4))
def test_disagreement_counts_at_most_the_larger_group(first, second):
    amount = disagreement(people(*first), people(*second))
    assert abs(len(first) - len(second)) - 1e-9 <= amount <= max(len(first), len(second)) + 1e-9


class Model:
    """Finds the people that a test chose for each file name."""

    skeleton = COCO

    def __init__(self, found):
        self._found = found

    def __call__(self, images):
        if images.name not in self._found:
            raise EveryposeError(f"cannot read {images}")
        chosen = self._found[images.name]
        return People(chosen.keypoints, chosen.scores, COCO, image=np.zeros((120, 160, 3), np.uint8))


def test_the_largest_disagreement_comes_first(tmp_path):
    models = [Model({"a.png": people(0), "b.png": people(0)}), Model({"a.png": people(0), "b.png": people(0, 400)})]
    problems = []
    paths = [Path("a.png"), Path("broken.png"), Path("b.png")]
    ranked = compare_on_images(models, paths, problems=problems, quiet=True)
    assert [(each.image.name, each.people) for each in ranked] == [("b.png", (1, 2)), ("a.png", (1, 1))]
    assert ranked[0].amount == pytest.approx(1)
    assert problems == ["cannot read broken.png"]
    written = write_pictures(tmp_path, ranked, models, ["one", "two"], most=1)
    assert [path.name for path in written] == ["1-b.jpg"]
    picture = cv2.imread(str(written[0]))
    assert picture is not None
    assert picture.shape[1] > 2 * 500
    content = json.loads((tmp_path / "disagreements.json").read_text())
    assert content["models"] == ["one", "two"]
    assert [each["image"] for each in content["images"]] == ["b.png", "a.png"]


def test_models_of_other_keypoints_are_refused():
    other = Model({})
    other.skeleton = Skeleton.named("crowdpose")
    with pytest.raises(UsageError, match="cannot be compared"):
        require_one_skeleton([Model({}), other], ["one", "two"])
    with pytest.raises(UsageError, match="two or more"):
        require_one_skeleton([other], ["one"])
