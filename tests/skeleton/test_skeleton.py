"""Skeletons: the known ones, other people's files, conversion by name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.data.doctor import examine
from everypose.data.formats.convert import read_any
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.formats import pairs_from_names
from everypose.skeleton.matching import (
    conversion,
    pairs_note,
    require_same_indices,
    split_side,
    split_sides,
    unrecognized_pairs,
)
from everypose.skeleton.skeleton import Skeleton, recognize

KEYPOINTS = {
    "aic": 14,
    "ap10k": 17,
    "apt36k": 17,
    "coco": 17,
    "coco_wholebody": 133,
    "crowdpose": 14,
    "halpe": 136,
    "halpe26": 26,
    "interhand2d": 21,
    "interhand3d": 42,
    "jhmdb": 15,
    "mpii": 16,
    "ochuman": 17,
    "posetrack18": 17,
    "pw3d": 24,
}


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
        # Those of AIC and WholeBody were measured for each keypoint by itself.
        if skeleton.sigmas is not None and name not in ("aic", "coco_wholebody"):
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


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("left_eye", ("left", "eye")),
        ("L_Eye", ("left", "eye")),
        ("LEye", ("left", "eye")),
        ("eyeL", ("left", "eye")),
        ("Ankle_Left ", ("left", "ankle")),
        ("Right-ankle", ("right", "ankle")),
        ("R_F_Paw", ("right", "f_paw")),
        ("forelegR1", ("right", "foreleg_1")),
        ("leftear", ("left", "ear")),
        ("lower_lip", ("", "lower_lip")),
        ("Root of tail", ("", "root_of_tail")),
        ("rump", ("", "rump")),
    ],
)
def test_sides_in_names(name, split):
    assert split_side(name) == split


def category(name, keypoints, skeleton=()):
    return {"id": 1, "name": name, "keypoints": list(keypoints), "skeleton": [list(link) for link in skeleton]}


@pytest.mark.parametrize("name", [name for name in KEYPOINTS if name not in ("ochuman", "apt36k")])
def test_known_skeletons_are_recognized_by_their_names(name):
    skeleton = Skeleton.named(name)
    assert Skeleton.from_coco_category(category("person", skeleton.keypoints)) is skeleton
    loud = [keypoint.replace("_", " ").upper() for keypoint in skeleton.keypoints]
    assert recognize(loud) is skeleton
    assert recognize(skeleton.keypoints[::-1]) is not skeleton


def test_the_names_and_links_of_crowdposes_own_files():
    # Its category calls the top of the head "head", and its links are COCO's, which name keypoints that are not there.
    names = [name.replace("top_head", "head") for name in Skeleton.named("crowdpose").keypoints]
    assert Skeleton.from_coco_category(category("person", names, [(16, 14), (14, 12)])) is Skeleton.named("crowdpose")


def test_an_unknown_category():
    made = Skeleton.from_coco_category(category("lamp", ["L_Bulb", "R_Bulb", "foot "], [(1, 3), (2, 3), (3, 9)]))
    # Links count from 1 in the file; the one without a keypoint is left out.
    assert made == Skeleton("lamp", ("L_Bulb", "R_Bulb", "foot"), ((0, 1),), ((0, 2), (1, 2)), None)


def test_links_that_count_from_0():
    made = Skeleton.from_coco_category(category("lamp", ["top", "middle", "foot"], [(0, 1), (1, 2)]), name="mine")
    assert made.links == ((0, 1), (1, 2))
    assert made.name == "mine"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "box"}, "no list"),
        ({"name": "box", "keypoints": []}, "no list"),
        ({"name": "box", "keypoints": "nose"}, "no list"),
        ({"name": "box", "keypoints": [1, 2]}, "no list"),
        ({"name": "box", "keypoints": ["nose", "nose"]}, "twice"),
        ({"name": "box", "keypoints": ["a", "b"], "skeleton": [[1]]}, "keypoint pairs"),
        ({"name": "box", "keypoints": ["a", "b"], "skeleton": [["a", "b"]]}, "whole numbers"),
        ({"name": "box", "keypoints": ["left_ear", "nose"]}, "'left_ear' has no twin"),
        ({"name": "box", "keypoints": ["kp0", "kp1"]}, "do not distinguish left and right"),
    ],
)
def test_categories_that_cannot_be(values, message):
    with pytest.raises(EveryposeError, match=message):
        Skeleton.from_coco_category(values)


@pytest.mark.parametrize("name", [name for name in KEYPOINTS if name not in ("coco_wholebody", "halpe")])
def test_pairs_follow_from_the_names(name):
    # Faces (WholeBody, Halpe) are numbered, so their pairs do not.
    skeleton = Skeleton.named(name)
    told = {frozenset(pair) for pair in pairs_from_names(skeleton.keypoints, name)}
    assert told == {frozenset(pair) for pair in skeleton.flip_pairs}


def mmpose_info(**changes):
    info = {
        "dataset_name": "lamp",
        "keypoint_info": {
            0: {"name": "left_bulb", "id": 0, "type": "upper", "swap": "right_bulb"},
            1: {"name": "right_bulb", "id": 1, "type": "upper", "swap": "left_bulb"},
            2: {"name": "foot", "id": 2, "type": "lower", "swap": ""},
        },
        "skeleton_info": {0: {"link": ("left_bulb", "foot"), "id": 0}, 1: {"link": ("right_bulb", "foot"), "id": 1}},
        "joint_weights": [1.0, 1.0, 1.5],
        "sigmas": [0.1, 0.1, 0.2],
    }
    return info | changes


def test_mmpose():
    expected = Skeleton(
        "lamp", ("left_bulb", "right_bulb", "foot"), ((0, 1),), ((0, 2), (1, 2)), (0.1, 0.1, 0.2), (0, 1), (2,),
        (1.0, 1.0, 1.5),
    )  # fmt: skip
    assert Skeleton.from_mmpose(mmpose_info()) == expected
    # Through JSON, the numbers become text.
    assert Skeleton.from_mmpose(json.loads(json.dumps(mmpose_info()))) == expected
    assert Skeleton.from_mmpose(mmpose_info(sigmas=[])).sigmas is None


@pytest.mark.parametrize(
    "change", [{"keypoint_info": 3}, {"keypoint_info": {0: {"name": "a", "id": 0, "swap": "b"}}}, {"sigmas": ["x"]}]
)
def test_mmpose_that_cannot_be(change):
    with pytest.raises(EveryposeError, match="MMPose data set 'lamp'"):
        Skeleton.from_mmpose(mmpose_info(**change))


FLOW = """# a comment
path: lamps # where
train: images/train
kpt_shape: [3, 2]  # number, dimensions
flip_idx: [1, 0,
  2]
names:
  0: lamp
"""
BLOCK = """
kpt_shape:
  - 3
  - 3
flip_idx:
- 1
- 0
- 2
kpt_names:
  0:
    - bulb_l
    - 'bulb_r'
    - foot
names: {0: lamp}
"""


def test_ultralytics_files(tmp_path):
    file = tmp_path / "lamps.yaml"
    file.write_text(FLOW)
    nameless = Skeleton("lamps", ("keypoint_0", "keypoint_1", "keypoint_2"), ((0, 1),), (), None)
    assert Skeleton.from_ultralytics(file) == nameless
    file.write_text(BLOCK)
    assert Skeleton.from_ultralytics(str(file)) == replace(nameless, keypoints=("bulb_l", "bulb_r", "foot"))
    file.write_text(BLOCK.replace("\n", "\r\n"))
    assert Skeleton.from_ultralytics(file).keypoints == ("bulb_l", "bulb_r", "foot")
    file.write_text("kpt_names: {0: [bulb_l, bulb_r, foot], 1: [bulb_l, bulb_r, foot]}\nkpt_shape: [3, 3]")
    assert Skeleton.from_ultralytics(file).flip_pairs == ((0, 1),)


def test_ultralytics_dict_of_a_known_skeleton():
    coco = Skeleton.named("coco")
    values = {"kpt_shape": [17, 3], "flip_idx": coco.flip_index.tolist(), "kpt_names": {0: list(coco.keypoints)}}
    assert Skeleton.from_ultralytics(values) is coco


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no kpt_shape"),
        ({"kpt_shape": [3, 3]}, "give flip_idx"),
        ({"kpt_shape": "three"}, "not a list"),
        ({"kpt_shape": ["x", 3]}, "whole numbers"),
        ({"kpt_shape": [3, 3], "flip_idx": [1, 2, 0]}, "swap in pairs"),
        ({"kpt_shape": [3, 3], "flip_idx": [0, 1]}, "swap in pairs"),
        ({"kpt_shape": [3, 3], "kpt_names": ["a", "b"]}, "lists 2"),
        ({"kpt_shape": [2, 3], "kpt_names": {0: ["a", "b"], 1: ["c", "d"]}}, "differs between the classes"),
    ],
)
def test_ultralytics_that_cannot_be(values, message):
    with pytest.raises(EveryposeError, match=message):
        Skeleton.from_ultralytics(values)


def test_ultralytics_files_that_cannot_be(tmp_path):
    with pytest.raises(EveryposeError, match="cannot read"):
        Skeleton.from_ultralytics(tmp_path / "none.yaml")
    file = tmp_path / "odd.yaml"
    file.write_text("kpt_shape: *anchor\n")
    with pytest.raises(EveryposeError, match=r"odd\.yaml: kpt_shape is written in a way"):
        Skeleton.from_ultralytics(file)


def test_conversion_between_coco_and_crowdpose():
    coco, crowdpose = Skeleton.named("coco"), Skeleton.named("crowdpose")
    plan = conversion(coco, crowdpose)
    assert plan.missing == ("top_head", "neck")
    assert plan.lost == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    poses = np.random.default_rng(0).uniform(1, 2, (3, 17, 3)).astype(np.float32)
    converted = plan.apply(poses)
    assert converted.dtype == np.float32
    for place, name in enumerate(crowdpose.keypoints):
        expected = poses[:, coco.index(name)] if name in coco.keypoints else np.zeros((3, 3))
        np.testing.assert_array_equal(converted[:, place], expected)
    assert plan.apply(poses[:0]).shape == (0, 14, 3)


def test_conversion_knows_other_names_of_the_same_point():
    mpii, crowdpose = Skeleton.named("mpii"), Skeleton.named("crowdpose")
    plan = conversion(mpii, crowdpose)
    assert plan.missing == ()
    assert plan.lost == ("pelvis", "thorax")
    assert mpii.keypoints[plan.index[crowdpose.index("neck")]] == "upper_neck"
    assert mpii.keypoints[plan.index[crowdpose.index("top_head")]] == "head_top"
    # The face, which JHMDB calls head, is not the top of the head.
    assert "head_top" in conversion(Skeleton.named("jhmdb"), Skeleton.named("aic")).missing


def test_keypoints_in_another_order_are_an_error():
    coco = Skeleton.named("coco")
    require_same_indices([name.replace("left_", "L ") for name in coco.keypoints], coco, "a.json")
    require_same_indices(["snout", *coco.keypoints[1:]], coco, "a.json")
    swapped = [coco.keypoints[coco.flip_index[index]] for index in range(17)]
    with pytest.raises(EveryposeError, match=r"a\.json has 'right_eye' as keypoint 2, .* coco as keypoint 3"):
        require_same_indices(swapped, coco, "a.json")


def test_find_takes_names_and_files(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('keypoints = [{ name = "tip", sigma = 0.05 }]')
    assert Skeleton.find(str(path)).sigmas == (0.05,)
    assert Skeleton.find("coco") == Skeleton.named("coco")


@pytest.mark.parametrize("name", KEYPOINTS)
def test_conversion_to_itself_changes_nothing(name):
    skeleton = Skeleton.named(name)
    plan = conversion(skeleton, skeleton)
    assert plan.index.tolist() == list(range(len(skeleton)))
    assert plan.missing == plan.lost == ()


@pytest.mark.parametrize("source", KEYPOINTS)
@pytest.mark.parametrize("target", ["coco", "crowdpose", "mpii"])
def test_conversion_and_mirroring_can_change_places(source, target):
    source, target = Skeleton.named(source), Skeleton.named(target)
    poses = np.random.default_rng(0).uniform(1, 2, (2, len(source), 3))
    plan = conversion(source, target)
    first = plan.apply(poses[:, source.flip_index])
    np.testing.assert_array_equal(first, plan.apply(poses)[:, target.flip_index])


@pytest.mark.parametrize(
    ("left", "right", "rest"),
    [
        ("leye", "reye", "eye"),
        ("LEYE", "REYE", "eye"),
        ("LEye", "REye", "eye"),
        ("l_eye", "r_eye", "eye"),
        ("eyel", "eyer", "eye"),
        ("eyeleft", "eyeright", "eye"),
        ("kp_leye", "kp_reye", "kp_eye"),
        ("ojo_izquierdo", "ojo_derecho", "ojo"),
        ("mano izquierda", "mano derecha", "mano"),
        ("GenouGauche", "GenouDroit", "genou"),
        ("linkes_Auge", "rechtes_Auge", "auge"),
        ("vänster-öga", "höger-öga", "öga"),
        ("левый_глаз", "правый_глаз", "глаз"),
        ("左眼", "右眼", "眼"),
        ("왼쪽_눈", "오른쪽_눈", "눈"),
    ],
)
def test_sides_of_which_both_must_be_there(left, right, rest):
    assert split_sides(["nose", left, right]) == [("", "nose"), ("left", rest), ("right", rest)]
    assert pairs_from_names([right, "nose", left], "x") == ((2, 0),)
    assert Skeleton.from_coco_category(category("x", ["nose", left, right])).sides == ("", "left", "right")


def test_a_known_skeleton_with_glued_sides_is_recognized():
    names = [name.replace("left_", "l").replace("right_", "r") for name in Skeleton.named("coco").keypoints]
    assert names[1:3] == ["leye", "reye"]
    assert recognize(names) is Skeleton.named("coco")
    assert conversion(Skeleton("glued", tuple(names), (), (), None), Skeleton.named("coco")).missing == ()


@pytest.mark.parametrize("name", Skeleton.names())
def test_known_names_have_the_sides_of_their_words(name):
    keypoints = Skeleton.named(name).keypoints
    assert split_sides(keypoints) == [split_side(keypoint) for keypoint in keypoints]


@given(st.lists(st.text("lreyap_", min_size=1, max_size=5), min_size=1, max_size=8, unique=True))
def test_sides_come_in_pairs_unless_they_are_words(names):
    sides = split_sides(names)
    for name, (side, rest) in zip(names, sides, strict=True):
        if side and not split_side(name)[0]:
            assert ("right" if side == "left" else "left", rest) in sides


def test_names_without_a_twin_have_no_side():
    names = ["lip", "lower_lip", "rump", "links", "leg", "linker_haken", "heel", "左", "l1"]
    assert [side for side, _ in split_sides(names)] == [""] * 8 + ["left"]


def test_names_that_look_paired_are_noted():
    names = ["nariz", "ojo_i", "ojo_d", "oreja_i", "oreja_d"]
    assert unrecognized_pairs(names) == [("ojo_d", "ojo_i"), ("oreja_d", "oreja_i")]
    assert "'ojo_d' and 'ojo_i'" in str(pairs_note(names))
    for other in (["eye_1", "eye_2", "nose"], ["spine_1", "spine_2", "spine_3"], ["left_eye", "right_eye"]):
        assert pairs_note(other) is None


def test_the_note_is_shown_by_doctor_and_convert(tmp_path):
    names = ["nariz", "ojo_i", "ojo_d", "oreja_i", "oreja_d"]
    content = {"images": [], "annotations": [], "categories": [category("persona", names)]}
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    (split,) = read_any(path)
    assert any("look paired" in note for note in split.notes)
    assert any("look paired" in note for note in examine(path).diagnosis.notes)
    content["categories"][0]["flip_idx"] = [0, 2, 1, 4, 3]
    path.write_text(json.dumps(content))
    (split,) = read_any(path)
    assert not any("look paired" in note for note in [*split.notes, *examine(path).diagnosis.notes])


@pytest.mark.parametrize("name", Skeleton.names())
def test_known_skeletons_have_no_such_note(name):
    assert pairs_note(Skeleton.named(name).keypoints) is None


def test_the_example_of_the_guide_is_a_skeleton(tmp_path):
    page = Path(__file__).parents[2] / "docs/guides/skeletons.md"
    example = re.search(r"```toml.*?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "fish.toml").write_text(example[1])
    fish = Skeleton.find(str(tmp_path / "fish.toml"))
    assert (fish.name, len(fish), fish.flip_pairs, fish.lower_body) == ("fish", 6, ((1, 2), (3, 4)), (5,))
    assert fish.links == ((0, 1), (0, 2), (0, 5))
    assert fish.sigmas == (0.03, 0.03, 0.03, 0.06, 0.06, 0.08)
