import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.core.geometry import box_iou, keypoint_boxes
from everypose.errors import EveryposeError, UsageError
from everypose.inference.box_sources import AnnotatedBoxes, DetectionsFile, PeopleBoxes, WholeImage, person_boxes
from everypose.inference.boxes import Boxes, Photo, box_nms
from everypose.people import People
from inference.stand_in import OFFSETS, SKELETON

IMAGE = np.zeros((8, 8, 3), np.uint8)


def row(image_id, x=0.0, score=0.5, **other):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, 1, 20, 30], "score": score} | other


def lefts(file, path):
    return file(Photo(IMAGE, Path(path))).boxes[:, 0].tolist()


@pytest.fixture
def detections(tmp_path):
    def write(rows, image_ids=None, threshold=0.0, **category):
        path = tmp_path / "detections.json"
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return DetectionsFile(path, image_ids, threshold, **category)

    return write


def test_boxes_are_corners_and_taken_as_they_are(detections):
    outside = [-5.5, -3, 900, 1000]
    file = detections([row(7), row(7, 1, 0.25), row(7, bbox=outside, score=1)])
    boxes = file(Photo(IMAGE, Path("7.jpg")))
    np.testing.assert_array_equal(boxes.boxes, [[0, 1, 20, 31], [1, 1, 21, 31], [-5.5, -3, 894.5, 997]])
    np.testing.assert_array_equal(boxes.scores, [0.5, 0.25, 1])


def test_rows_belong_to_the_number_at_the_end_of_the_name(detections):
    file = detections([row(139, 1), row(12, 2), row(139, 3)])
    assert lefts(file, "folder/COCO_val2014_000000000139.jpg") == [1, 3]
    assert lefts(file, "12.png") == [2]
    assert lefts(file, "13.png") == lefts(file, "crowd.png") == []


def test_rows_belong_to_the_number_that_the_run_gives_an_image(detections):
    images = {Path("b.jpg"): 1, Path("a.jpg"): 2, Path("2.jpg"): 3}
    file = detections([row(1, 1), row(2, 2), row(9, 9)], images)
    assert [lefts(file, path) for path in images] == [[1], [2], []]
    assert lefts(file, "9.jpg") == []  # not an image of the run
    assert file.count_images() == 2


def test_rows_with_a_file_name_belong_to_that_file(detections):
    file = detections([row(1, 1, file_name="crowd.jpg"), row(1, 2, file_name="val/9.jpg"), row(9, 3)])
    assert lefts(file, "photos/crowd.jpg") == [1]
    assert lefts(file, "9.jpg") == [2, 3]
    assert lefts(file, "1.jpg") == []


def test_rows_with_an_empty_name_belong_to_their_number(detections):
    assert lefts(detections([row(9, 4, file_name="")]), "9.jpg") == [4]


def test_of_files_with_one_name_the_number_tells(detections):
    images = {Path("x/a.jpg"): 1, Path("y/a.jpg"): 2, Path("b.jpg"): 3}
    file = detections(
        [row(1, 1, file_name="a.jpg"), row(2, 2, file_name="a.jpg"), row(8, 3, file_name="b.jpg")], images
    )
    assert [lefts(file, path) for path in images] == [[1], [2], [3]]


def test_the_results_of_a_run_are_boxes_for_the_next(detections):
    people = People(np.column_stack([OFFSETS + 40, np.ones(17)])[None], [0.75], SKELETON, boxes=[[10, 20, 70, 90]])
    rows = [entry | {"file_name": "crowd.jpg"} for entry in people.to_coco(image_id=1)]
    boxes = detections(rows)(Photo(IMAGE, Path("elsewhere/crowd.jpg")))
    np.testing.assert_allclose(boxes.boxes, people.boxes)
    np.testing.assert_allclose(boxes.scores, people.scores)


def test_only_people_that_score_enough(detections):
    rows = [row(1, 1, 0.3), row(1, 2, 0.29), row(1, 3, 0.9, category_id=2), row(1, 4, 0.31)]
    assert lefts(detections(rows, threshold=0.3), "1.jpg") == [1, 4]
    assert lefts(detections(rows), "1.jpg") == [1, 2, 4]


def test_boxes_of_another_category_or_of_all(detections):
    rows = [row(1, 1), row(1, 2, category_id=26), row(1, 3, category_id=5), row(1, 4, 0.1, category_id=26)]
    for category, expected, others in ((1, [1], 3), (26, [2], 2), (None, [1, 2, 3], 0)):
        file = detections(rows, threshold=0.3, category=category)
        assert lefts(file, "1.jpg") == expected
        assert file.other_categories == others


def test_a_whole_image_is_one_box():
    boxes = WholeImage()(Photo(np.zeros((30, 20, 3), np.uint8)))
    np.testing.assert_array_equal(boxes.boxes, [[0, 0, 19, 29]])
    assert boxes.scores.tolist() == [1]


def test_no_rows_are_nobody(detections):
    boxes = detections([])(Photo(IMAGE, Path("1.jpg")))
    assert (boxes.boxes.shape, boxes.scores.shape) == ((0, 4), (0,))


def test_images_without_a_file_cannot_be_found(detections):
    with pytest.raises(UsageError, match=r"detections\.json need images with file names: give paths, not arrays"):
        detections([row(1)])(Photo(IMAGE))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("[{", "is not valid JSON"),
        ({"images": [], "annotations": []}, "is not a COCO results list"),
        ([row(1), 5], "entry 1 is not a detection"),
        ([{}], "entry 0 is not a detection: it has no 'bbox'"),
        ([row(1), {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "entry 1 .* it has no 'score'"),
        ([{"category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "it has no 'image_id'"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "it has no 'category_id'"),
        ([row(1, bbox=[1, 2, 3])], "entry 0 is not a detection: a list has the wrong length"),
        ([row(1, bbox=None)], "entry 0 is not a detection"),
        ([row(1, score=None)], "entry 0 is not a detection"),
        ([row(1, score=float("nan"))], "its box or score is not a finite number"),
        ([row(1, bbox=[1, 2, float("inf"), 4])], "its box or score is not a finite number"),
        ([row("crowd")], "entry 0 is not a detection"),
        ([row(1, file_name=3)], "entry 0 is not a detection"),
    ],
    ids=str,
)
def test_wrong_files_are_one_line(detections, rows, message):
    with pytest.raises(EveryposeError, match=f"detections.json.*{message}") as caught:
        detections(rows)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EveryposeError, match=r"cannot read .*none\.json"):
        DetectionsFile(tmp_path / "none.json")


def test_around_people_boxes_are_an_eighth_larger_on_each_side():
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, :3] = [(10, 20, 0.5), (50, 20, 0.37), (30, 100, 0.9)]  # the others were not seen
    np.testing.assert_allclose(person_boxes(keypoints), [[5, 10, 55, 110]])
    np.testing.assert_array_equal(person_boxes(np.zeros((0, 17, 3))), np.zeros((0, 4)))


def test_a_keypoint_much_less_sure_than_the_surest_does_not_count():
    keypoints = np.ones((2, 17, 3)) * np.linspace(10, 50, 17)[:, None]
    keypoints[0, :, 2], keypoints[1, :, 2] = 0.9, 0.09
    stray = keypoints.copy()
    stray[:, 3, :2] = 900
    stray[:, 3, 2] *= 0.39
    given = stray.copy()
    np.testing.assert_allclose(person_boxes(stray), person_boxes(keypoints))
    np.testing.assert_array_equal(stray, given)


def test_boxes_of_a_models_people():
    pose = np.column_stack([OFFSETS + 40, np.ones(17)])
    people = People([pose, pose + np.array([9, 0, 0])], [0.5, 0.25], SKELETON)
    seen = []
    boxes = PeopleBoxes(lambda image: seen.append(image) or people)(Photo(IMAGE, Path("a.jpg")))
    assert seen[0] is IMAGE
    np.testing.assert_array_equal(boxes.scores, [0.5, 0.25])
    inner = keypoint_boxes(people.keypoints)
    assert (boxes.boxes[:, :2] < inner[:, :2]).all()
    assert (boxes.boxes[:, 2:] > inner[:, 2:]).all()


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (np.zeros((2, 4)), np.zeros(1), "are not .N, 4. and .N,."),
        (np.zeros((1, 5)), np.zeros(1), "are not .N, 4. and .N,."),
        (np.zeros((1, 4)), np.zeros((1, 1)), "are not .N, 4. and .N,."),
        (np.array([[0, 0, np.nan, 1]]), np.ones(1), "not a finite number"),
        (np.zeros((1, 4)), np.array([np.inf]), "not a finite number"),
    ],
    ids=["count", "width", "rank", "nan", "infinite"],
)
def test_what_are_no_boxes_is_refused(boxes, scores, message):
    with pytest.raises(EveryposeError, match=message):
        Boxes(boxes, scores)


def random_boxes(seed, count):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    return Boxes(
        np.concatenate([corners, corners + rng.uniform(20, 50, (count, 2))], axis=1), rng.permutation(count) / count
    )


@given(st.integers(0, 1000), st.integers(0, 20), st.floats(0.1, 0.9))
@settings(max_examples=50, deadline=None)
def test_suppression_is_the_literal_one(seed, count, threshold):
    boxes = random_boxes(seed, count)
    left, kept = list(np.argsort(-boxes.scores)), []
    while left:
        kept.append(left.pop(0))
        left = [other for other in left if box_iou(boxes.boxes[kept[-1:]], boxes.boxes[other][None])[0, 0] <= threshold]
    np.testing.assert_array_equal(box_nms(boxes, threshold).scores, boxes.scores[kept])
    xywh = np.concatenate([boxes.boxes[:, :2], boxes.boxes[:, 2:] - boxes.boxes[:, :2]], axis=1)
    theirs = cv2.dnn.NMSBoxes(xywh.tolist(), (boxes.scores + 1).tolist(), 0.5, threshold) if count else []
    np.testing.assert_array_equal(np.ravel(theirs), kept)


def test_suppression_does_not_look_at_the_order():
    boxes = random_boxes(0, 30)
    order = np.random.default_rng(1).permutation(30)
    first, second = box_nms(boxes, 0.5), box_nms(boxes[order], 0.5)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert 1 < len(first) < 30


def test_annotated_boxes_are_sure():
    detector = AnnotatedBoxes({Path("a.jpg"): np.array([[-5.0, 3, 40, 20]]), Path("b.jpg"): np.zeros((0, 4))})
    found = detector(Photo(IMAGE, Path("a.jpg")))
    assert found.boxes.tolist() == [[-5, 3, 40, 20]]
    assert found.scores.tolist() == [1]
    assert len(detector(Photo(IMAGE, Path("b.jpg")))) == 0
