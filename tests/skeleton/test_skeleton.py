"""Skeletons: the known ones, files, and what cannot be one."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton
from everypose.skeleton.toml import to_toml
from skeleton.known_skeletons import KEYPOINTS


def test_all_known_skeletons_are_there():
    assert Skeleton.names() == list(KEYPOINTS)
    assert {name: len(Skeleton.named(name)) for name in Skeleton.names()} == KEYPOINTS


@pytest.mark.parametrize("name", KEYPOINTS)
def test_what_every_known_skeleton_keeps(name):
    skeleton = Skeleton.named(name)
    assert skeleton.name == name
    flips = skeleton.flip_index
    # Mirroring twice changes nothing, and nothing but the pairs moves.
    assert flips[flips].tolist() == list(range(len(skeleton)))
    assert (flips != np.arange(len(skeleton))).sum() == 2 * len(skeleton.flip_pairs)
    # Mirrored limbs are limbs.
    limbs = {frozenset(link) for link in skeleton.links}
    assert {frozenset(flips[list(link)].tolist()) for link in skeleton.links} == limbs
    # A keypoint that says left has a twin that says right.
    sides = skeleton.sides
    for index, side in enumerate(sides):
        assert {"left": "right", "right": "left", "": ""}[side] == sides[flips[index]]
    assert not set(skeleton.upper_body) & set(skeleton.lower_body)
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def test_twins_share_their_sigma():
    for name in KEYPOINTS:
        skeleton = Skeleton.named(name)
        # Those of AIC and WholeBody, whose feet coco_25 has, were measured for each keypoint by itself.
        if skeleton.sigmas is not None and name not in ("aic", "coco_25", "coco_wholebody"):
            sigmas = skeleton.require_sigmas()
            np.testing.assert_array_equal(sigmas, sigmas[skeleton.flip_index])


def test_crowdpose_sigmas_and_links():
    crowdpose = Skeleton.named("crowdpose")
    tenths = [0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79]
    np.testing.assert_allclose(crowdpose.require_sigmas() * 10, tenths)
    names = {frozenset(crowdpose.keypoints[end] for end in link) for link in crowdpose.links}
    assert {"left_hip", "left_knee"} in names
    assert {"top_head", "neck"} in names


def test_unknown_names_say_the_nearest():
    with pytest.raises(UsageError, match="crowdpose"):
        Skeleton.named("crowd_pose")
    with pytest.raises(UsageError, match="left_wrist"):
        Skeleton.named("coco").index("leftwrist")
    assert Skeleton.named("coco").index("left_wrist") == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": ()}, "no keypoints"),
        ({"keypoints": ("a", "a", "b")}, "'a' twice"),
        ({"links": ((0, 3),)}, "keypoint 3"),
        ({"flip_pairs": ((0, 1), (1, 2))}, "'b' is in more than one"),
        ({"sigmas": (0.1,)}, "3 keypoints, but 1 sigmas"),
        ({"sigmas": (0.1, 0.0, 0.1)}, "not a positive"),
        ({"joint_weights": (1.0, 1.0)}, "2 joint weights"),
        ({"lower_body": (-1,)}, "keypoint -1"),
    ],
)
def test_skeletons_that_cannot_be(change, message):
    good = Skeleton("three", ("a", "b", "c"), ((0, 1),), ((0, 2),), None)
    with pytest.raises(EveryposeError, match=message):
        replace(good, **change)


def test_missing_sigmas_say_how_to_give_them():
    with pytest.raises(EveryposeError, match=r"sigmas.*are unknown.*TOML"):
        Skeleton.named("interhand2d").require_sigmas()


def test_reading_ones_own_file(tmp_path):
    file = tmp_path / "stick.toml"
    file.write_text(
        'keypoints = [{ name = "left_end", sigma = 0.1 }, { name = "right_end", sigma = 0.1 }]\n'
        'flip_pairs = [["left_end", "right_end"]]\nlinks = [["left_end", "right_end"]]\n'
    )
    skeleton = Skeleton.read(file)
    assert skeleton == Skeleton("stick", ("left_end", "right_end"), ((0, 1),), ((0, 1),), (0.1, 0.1))


@pytest.mark.parametrize(
    "content",
    [
        "not toml",
        "keypoints = 3",
        'keypoints = ["a"]',
        'keypoints = [{ name = "a" }]\nlinks = [["a", "b"]]',
        'keypoints = [{ name = "a" }]\nlinks = [["a"]]',
        'keypoints = [{ name = "a", sigma = 0.1 }, { name = "b" }]',
        'keypoints = [{ name = "a", sigma = "big" }]',
        "keypoints = [{ sigma = 0.1 }]",
    ],
)
def test_files_that_are_no_skeleton(tmp_path, content):
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(EveryposeError, match=r"bad\.toml") as caught:
        Skeleton.read(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EveryposeError, match="cannot read"):
        Skeleton.read(tmp_path / "none.toml")


@pytest.mark.parametrize("values", [{}, {"name": "x"}, {"color": 1}, {"name": "x", "keypoints": 5}])
def test_dicts_that_are_no_skeleton(values):
    with pytest.raises(EveryposeError):
        Skeleton.from_dict(values)


def test_find_takes_names_and_files(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('keypoints = [{ name = "tip", sigma = 0.05 }]')
    assert Skeleton.find(str(path)).sigmas == (0.05,)
    assert Skeleton.find("coco") == Skeleton.named("coco")


def test_the_example_of_the_guide_is_a_skeleton(tmp_path):
    page = Path(__file__).parents[2] / "docs/guides/skeletons.md"
    example = re.search(r"```toml.*?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "fish.toml").write_text(example[1])
    fish = Skeleton.find(str(tmp_path / "fish.toml"))
    assert (fish.name, len(fish), fish.flip_pairs, fish.lower_body) == ("fish", 6, ((1, 2), (3, 4)), (5,))
    assert fish.links == ((0, 1), (0, 2), (0, 5))
    assert fish.sigmas == (0.03, 0.03, 0.03, 0.06, 0.06, 0.08)


@pytest.mark.parametrize("name", ["nez \U0001f642", "del\x7f", 'a "quoted" \\ name', "тыльная"])
def test_any_keypoint_name_is_written_so_that_it_is_read_again(tmp_path, name):
    path = tmp_path / "own.toml"
    path.write_text(to_toml(Skeleton("own", (name, "left", "right"), ((1, 2),), ((0, 1),), None)), encoding="utf-8")
    assert Skeleton.read(path) == Skeleton("own", (name, "left", "right"), ((1, 2),), ((0, 1),), None)
