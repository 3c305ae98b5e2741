"""Keypoint names: sides, pairs, and conversion between skeletons."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.data.doctor import examine
from everypose.data.formats.convert import read_any
from everypose.errors import EveryposeError
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
from skeleton.known_skeletons import KEYPOINTS, category


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


@pytest.mark.parametrize("name", [name for name in KEYPOINTS if name not in ("ochuman", "apt36k")])
def test_known_skeletons_are_recognized_by_their_names(name):
    skeleton = Skeleton.named(name)
    assert Skeleton.from_coco_category(category("person", skeleton.keypoints)) is skeleton
    loud = [keypoint.replace("_", " ").upper() for keypoint in skeleton.keypoints]
    assert recognize(loud) is skeleton
    assert recognize(skeleton.keypoints[::-1]) is not skeleton


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
    for middle in ("center", "centre"):
        assert pairs_note([f"eye_{middle}", "eye_b", f"ear_{middle}", "ear_b"]) is None
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
