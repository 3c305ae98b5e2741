"""People and Person: what an estimator returns."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from everypose.errors import EveryposeError, UsageError
from everypose.people import People, Person
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
coordinates = st.floats(-5000, 5000, allow_nan=False, width=32)


def some_people(count=4, seed=0, **more):
    rng = np.random.default_rng(seed)
    keypoints = np.concatenate([rng.uniform(0, 200, (count, 17, 2)), rng.uniform(0.1, 1, (count, 17, 1))], axis=2)
    return People(keypoints, rng.permutation(count) / 10, COCO, **more)


def same(first, second):
    return (
        first.skeleton == second.skeleton
        and np.array_equal(first.keypoints, second.keypoints)
        and np.array_equal(first.scores, second.scores)
        and np.array_equal(first.boxes, second.boxes)
    )


def test_a_person_by_keypoint_name():
    people = some_people()
    person = people[2]
    assert isinstance(person, Person)
    assert person["left_wrist"] == tuple(people.keypoints[2, 9].tolist())
    assert person.score == people.scores[2]
    np.testing.assert_array_equal(person.box, people.boxes[2])
    with pytest.raises(UsageError, match="left_wrist"):
        person["left_writs"]


def test_iteration_and_length():
    people = some_people(3)
    assert len(people) == 3
    assert [person.score for person in people] == people.scores.tolist()
    assert people[-1].score == people.scores[-1]
    with pytest.raises(IndexError):
        people[3]


@pytest.mark.parametrize(
    ("which", "chosen"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, False, False]), [1]),
        (np.array([3]), [3]),
    ],
)
def test_choosing_several(which, chosen):
    image = np.zeros((8, 8, 3), np.uint8)
    people = some_people(image=image)
    some = people[which]
    assert isinstance(some, People)
    np.testing.assert_array_equal(some.keypoints, people.keypoints[chosen])
    np.testing.assert_array_equal(some.boxes, people.boxes[chosen])
    assert some.scores.tolist() == people.scores[chosen].tolist()
    assert some.image is image


def test_above_a_score():
    people = some_people()
    assert sorted(people.above(0.1).scores.tolist()) == pytest.approx([0.2, 0.3])
    assert len(people.above(9)) == 0


def test_boxes_are_around_the_keypoints_unless_given():
    people = some_people(1)
    x, y = people.keypoints[0, :, 0], people.keypoints[0, :, 1]
    assert people.boxes[0].tolist() == [x.min(), y.min(), x.max(), y.max()]
    assert some_people(1, boxes=[[1, 2, 3, 4]]).boxes.tolist() == [[1, 2, 3, 4]]


def test_nobody():
    nobody = People.empty(COCO)
    assert len(nobody) == 0
    assert list(nobody) == []
    assert nobody.keypoints.shape == (0, 17, 3)
    assert nobody.boxes.shape == (0, 4)
    assert nobody.to_coco(1) == []
    assert len(nobody.above(0.5)) == 0
    assert len(nobody[:]) == 0
    assert same(People.from_json(nobody.to_json()), nobody)
    assert same(People.from_coco([], COCO), nobody)


@pytest.mark.parametrize(
    ("keypoints", "scores", "boxes"),
    [
        (np.zeros((2, 16, 3)), np.zeros(2), None),
        (np.zeros((2, 17, 2)), np.zeros(2), None),
        (np.zeros((2, 17, 3)), np.zeros(3), None),
        (np.zeros((2, 17, 3)), np.zeros((2, 1)), None),
        (np.zeros((2, 17, 3)), 0.5, None),
        (np.zeros((2, 17, 3)), np.zeros(2), np.zeros((1, 4))),
    ],
)
def test_shapes_that_do_not_belong_together(keypoints, scores, boxes):
    with pytest.raises(UsageError, match="shape"):
        People(keypoints, scores, COCO, boxes=boxes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(bad):
    with pytest.raises(EveryposeError, match="scores contain a number that is not finite"):
        People(np.zeros((1, 17, 3)), [bad], COCO)


def test_coco_results():
    people = some_people(2)
    rows = people.to_coco(image_id=7, category_id=3)
    json.dumps(rows)
    assert [row["image_id"] for row in rows] == [7, 7]
    assert rows[0]["category_id"] == 3
    assert rows[1]["score"] == pytest.approx(people.scores[1])
    np.testing.assert_allclose(np.reshape(rows[0]["keypoints"], (17, 3)), people.keypoints[0])
    x, y, width, height = rows[0]["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], people.boxes[0], rtol=1e-6)
    back = People.from_coco(rows, COCO)
    np.testing.assert_array_equal(back.keypoints, people.keypoints)
    np.testing.assert_array_equal(back.scores, people.scores)


def test_coco_files(tmp_path):
    people, others = some_people(2), some_people(3, seed=1)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(people.to_coco(1) + others.to_coco(2)))
    np.testing.assert_array_equal(People.from_coco(file, COCO, image_id=2).keypoints, others.keypoints)
    assert len(People.from_coco(str(file), COCO, image_id=9)) == 0
    with pytest.raises(UsageError, match="2 images"):
        People.from_coco(file, COCO)


def test_coco_annotations_without_score_or_box(tmp_path):
    keypoints = np.zeros((17, 3))
    keypoints[3], keypoints[8] = [4, 5, 1], [10, 20, 2]
    file = tmp_path / "truth.json"
    file.write_text(json.dumps({"annotations": [{"image_id": 1, "keypoints": keypoints.ravel().tolist()}]}))
    people = People.from_coco(file, COCO)
    assert people.scores.tolist() == [1]
    assert people.boxes.tolist() == [[4, 5, 10, 20]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5", "neither"),
        ("{}", "neither"),
        ("[1, 2]", "neither"),
        ('"text"', "neither"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3]}]', "entry 0 .* 51 keypoint numbers, it has 3"),
        ('[{"image_id": 1}]', "entry 0 .* 51 keypoint numbers, it has 0"),
        ('[{"image_id": 1, "keypoints": 5}]', "entry 0"),
        (json.dumps([{"image_id": 1, "keypoints": ["x"] * 51}]), "entry 0"),
        (json.dumps([{"image_id": 1, "keypoints": [1] * 51, "bbox": [1, 2]}]), "entry 0"),
        (json.dumps([{"image_id": 1, "keypoints": [1] * 51, "score": "high"}]), "entry 0"),
        ("[", "not valid JSON"),
    ],
)
def test_files_that_are_not_coco(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(EveryposeError, match=message) as caught:
        People.from_coco(file, COCO)
    assert "\n" not in str(caught.value)
    assert "bad.json" in str(caught.value)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(0, 3), st.just(17), st.just(3)), elements=coordinates),
    st.integers(0, 99),
)
def test_json_gives_back_every_bit(keypoints, seed):
    scores = np.random.default_rng(seed).random(len(keypoints))
    people = People(keypoints, scores, COCO)
    assert same(People.from_json(people.to_json()), people)


def test_json_says_keypoints_by_name():
    people = some_people(1)
    content = json.loads(people.to_json())
    assert content["skeleton"]["name"] == "coco"
    assert content["people"][0]["keypoints"]["nose"] == pytest.approx(people[0]["nose"])


@pytest.mark.parametrize("text", ["", "5", "{}", '{"skeleton": 5, "people": []}', '{"skeleton": {}, "people": []}'])
def test_text_that_is_not_the_json_of_people(text):
    with pytest.raises(EveryposeError):
        People.from_json(text)


def test_supervision():
    supervision = pytest.importorskip("supervision")
    people = some_people()
    points = people.to_supervision()
    assert isinstance(points, supervision.KeyPoints)
    np.testing.assert_array_equal(points.xy, people.keypoints[..., :2])
    assert len(People.empty(COCO).to_supervision()) == 0


def test_without_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        some_people().to_supervision()


def test_text_for_people():
    assert repr(some_people()) == "People(4, skeleton='coco')"


def test_ids_stay_with_their_people():
    people = People(np.ones((3, 17, 3)), [0.9, 0.8, 0.7], COCO, ids=[4, 2, 9])
    assert people.ids.dtype == np.int64
    assert people[[2, 0]].ids.tolist() == [9, 4]
    assert [person.id for person in people] == [4, 2, 9]
    assert People(np.ones((1, 17, 3)), [0.9], COCO)[0].id is None


def test_ids_in_coco_results_and_json():
    people = People(np.ones((2, 17, 3)), [0.9, 0.8], COCO, ids=[4, 2])
    results = people.to_coco(image_id=1)
    assert [entry["track_id"] for entry in results] == [4, 2]
    assert People.from_coco(results, COCO).ids.tolist() == [4, 2]
    assert People.from_json(people.to_json()).ids.tolist() == [4, 2]


def test_results_of_which_some_have_no_track_id():
    results = People(np.ones((2, 17, 3)), [0.9, 0.8], COCO, ids=[4, 2]).to_coco(image_id=1)
    del results[0]["track_id"]
    assert People.from_coco(results, COCO).ids is None


def test_ids_that_do_not_fit():
    with pytest.raises(UsageError, match=r"ids of shape \(1,\) are not \(2,\)"):
        People(np.ones((2, 17, 3)), [0.9, 0.8], COCO, ids=[4])
    results = People(np.ones((1, 17, 3)), [0.9], COCO, ids=[4]).to_coco(image_id=1)
    with pytest.raises(EveryposeError, match="track_id"):
        People.from_coco([results[0] | {"track_id": 1 << 70}], COCO)


@pytest.mark.parametrize("ids", [[2**63], [10**400], [0.5], [float("nan")], [float("inf")], ["a"], [None]])
def test_ids_that_are_no_whole_numbers_of_64_bits_are_refused(ids):
    with pytest.raises(EveryposeError, match="an id is not a whole number"):
        People(np.zeros((1, 17, 3)), [0.5], Skeleton.named("coco"), ids=ids)


def test_boxes_beyond_float32_are_refused_without_a_warning():
    with pytest.raises(EveryposeError, match="boxes contain a number that is not finite"):
        People(np.zeros((1, 17, 3)), [0.5], Skeleton.named("coco"), boxes=[[0, 0, 1e300, 1]])
