"""FiftyOne: people as its keypoints, with a stand-in for the package, and with the real one where it is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.people import People
from inference.stand_in import SKELETON, crowd


@pytest.fixture
def stand_in(monkeypatch):
    kinds = {name: lambda **fields: SimpleNamespace(**fields) for name in ("Keypoint", "Keypoints", "KeypointSkeleton")}
    monkeypatch.setitem(sys.modules, "fiftyone", SimpleNamespace(**kinds))


@pytest.mark.usefixtures("stand_in")
def test_points_are_shares_of_the_image(pose):
    people = pose(crowd(((0, 0, 100), (1, 1, 200))))
    made = people.to_fiftyone().keypoints
    assert np.allclose(np.array(made[0].points) * 64, people.keypoints[0, :, :2])
    assert made[0].confidence == people.keypoints[0, :, 2].tolist()
    assert (made[0].label, made[0].index) == ("person", None)
    assert made[0].person_score == pytest.approx(200 / 255)


@pytest.mark.usefixtures("stand_in")
def test_missing_keypoints_ids_and_sizes():
    keypoints = np.ones((1, 17, 3))
    keypoints[0, 3] = 0
    people = People(keypoints, [1], SKELETON, ids=[5])
    (made,) = people.to_fiftyone((10, 20)).keypoints
    assert np.isnan(made.points[3]).all()
    assert made.points[0] == (0.1, 0.05)
    assert made.index == 5
    with pytest.raises(EveryposeError, match="image's size"):
        people.to_fiftyone()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(UsageError, match="pip install fiftyone"):
        People.empty(SKELETON).to_fiftyone((1, 1))


def test_the_real_package(pose, tmp_path):
    fiftyone = pytest.importorskip("fiftyone")
    from everypose.integrations.fiftyone import keypoint_skeleton

    made = pose(crowd(((0, 0, 100),))).to_fiftyone()
    assert isinstance(made, fiftyone.Keypoints)
    assert len(made.keypoints[0].points) == 17
    skeleton = keypoint_skeleton(SKELETON)
    assert (skeleton.labels, len(skeleton.edges)) == (list(SKELETON.keypoints), len(SKELETON.links))
    sample = fiftyone.Sample(filepath=str(tmp_path / "a.jpg"))
    sample["poses"] = made
    assert sample.to_dict()["poses"]["keypoints"][0]["label"] == "person"
