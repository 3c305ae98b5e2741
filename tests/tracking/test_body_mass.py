"""Centers of mass next to sums over the body's segments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.skeleton.skeleton import Skeleton
from everypose.tracking.body_mass import FURTHEST, HEAD, HEAD_MASS, SEGMENTS, BodyMass
from tracking.walkers import COCO, people_at

MASS = BodyMass(COCO)


def literal_center(pose, names):
    """The horizontal center of mass: the segments' centers weighted with their masses."""
    at = {name: pose[place, 0] for place, name in enumerate(names)}
    total = HEAD_MASS * np.mean([at[name] for name in HEAD])
    for side in ("left", "right"):
        for first, second, mass, place in SEGMENTS:
            start, end = at[f"{side}_{first}"], at[f"{side}_{second}"]
            total += mass * (start + place * (end - start))
    return total


def test_the_masses_are_those_of_one_body():
    assert HEAD_MASS + 2 * sum(mass for _, _, mass, _ in SEGMENTS) == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_the_middle_of_the_box_is_the_center_of_mass(seed):
    rng = np.random.default_rng(seed)
    people = people_at(rng.uniform(0, 600, (4, 2)))
    poses = people.keypoints + rng.normal(0, 2, people.keypoints.shape) * [1, 1, 0]
    boxes = people.boxes.astype(np.float64)
    found = MASS.centered_boxes(poses, boxes)
    literal = [literal_center(pose, COCO.keypoints) for pose in poses]
    np.testing.assert_allclose((found[:, 0] + found[:, 2]) / 2, literal)
    np.testing.assert_allclose(found[:, 2] - found[:, 0], boxes[:, 2] - boxes[:, 0])
    np.testing.assert_array_equal(found[:, 1::2], boxes[:, 1::2])


def test_an_outstretched_leg_moves_the_box_and_hardly_the_center():
    standing = people_at([(100, 100)])
    pose = standing.keypoints.copy()
    pose[0, COCO.keypoints.index("left_ankle"), 0] += 30
    wide = standing.boxes.astype(np.float64) + np.array([0, 0, 24, 0])
    found = MASS.centered_boxes(pose, wide)
    assert (wide[0, 0] + wide[0, 2]) / 2 == pytest.approx(112)
    assert (found[0, 0] + found[0, 2]) / 2 == pytest.approx(100, abs=2)


def test_a_pose_far_from_the_middle_moves_the_box_by_a_share_of_its_width():
    people = people_at([(100, 100)])
    found = MASS.centered_boxes(people.keypoints + np.array([500, 0, 0]), people.boxes.astype(np.float64))
    np.testing.assert_allclose(found[0, ::2] - people.boxes[0, ::2], FURTHEST * 40)


@pytest.mark.parametrize(
    ("hidden", "moves"), [(("left_wrist", "right_wrist"), True), (("left_hip", "right_hip"), False)]
)
def test_unknown_keypoints(hidden, moves):
    people = people_at([(100, 100)])
    pose = people.keypoints + np.array([5, 0, 0])
    pose[0, [COCO.keypoints.index(name) for name in hidden]] = 0
    found = MASS.centered_boxes(pose, people.boxes.astype(np.float64))
    np.testing.assert_allclose(found[0, ::2] - people.boxes[0, ::2], 5 if moves else 0)


def test_boxes_of_other_skeletons_stay():
    skeleton = Skeleton("two", ("left_end", "right_end"), ((0, 1),), ((0, 1),), None)
    boxes = np.array([[0.0, 0.0, 20.0, 40.0]])
    np.testing.assert_array_equal(BodyMass(skeleton).centered_boxes(np.ones((1, 2, 3)), boxes), boxes)


def test_no_people():
    assert MASS.centered_boxes(np.zeros((0, 17, 3)), np.zeros((0, 4))).shape == (0, 4)
