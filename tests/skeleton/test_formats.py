"""Skeletons of COCO categories, MMPose and Ultralytics."""

import json
from dataclasses import replace

import pytest

from everypose.errors import EveryposeError
from everypose.skeleton.formats import pairs_from_names
from everypose.skeleton.skeleton import Skeleton
from skeleton.known_skeletons import KEYPOINTS, category


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
