"""Who is to be found in a box, by both rules: the recorded scenes, literal twins, properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.geometry import Size
from everypose.methods.mipnet.assignment import box_people, keypoints_in_boxes, present_people
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import CropGeometry, clean_boxes
from everypose.methods.top_down.samples import make_sample, trainable_people
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load
from methods.top_down.made import golden_scene, scene

IMAGE = np.zeros((480, 640, 3), np.uint8)
COCO = Skeleton.named("coco")


@pytest.fixture(scope="module")
def golden():
    return load("mipnet/assignment")


def records(golden, number):
    """A recorded scene, its trainable rows and their cleaned boxes."""
    people = golden_scene(golden, number)
    rows = trainable_people(people)
    return people, rows, clean_boxes(people.boxes[rows], Size(people.width, people.height))[0]


def ids(people, rows, which, primary):
    """Annotation ids (P, N - 1) of the others; -1 where the primary stands in for one who is missing."""
    found = people.annotation_ids[rows][which]
    return np.where(which == np.arange(len(which))[:, None], -1, found)[:, 1:] if primary else found[:, 1:]


@pytest.mark.parametrize("number", range(5))
def test_nearest_people_equal_the_release(golden, number):
    people, rows, boxes = records(golden, number)
    name = f"scene{number}"
    assert people.annotation_ids[rows].tolist() == golden[f"{name}/primary_id"].tolist()
    two = box_people(boxes, people.boxes[rows], people.keypoints[rows], 2, "released")
    assert ids(people, rows, two, True)[:, 0].tolist() == golden[f"{name}/nearest_id"].tolist()
    three = box_people(boxes, people.boxes[rows], people.keypoints[rows], 3, "released")
    assert three.shape == (len(rows), 3)
    assert ids(people, rows, three, True).tolist() == golden[f"{name}/n3_candidate_ids"].tolist()


@pytest.mark.parametrize("number", range(5))
def test_second_people_equal_the_release(golden, number):
    people, rows, boxes = records(golden, number)
    name = f"scene{number}"
    pairs = box_people(boxes, people.boxes[rows], people.keypoints[rows], 2, "released")
    for record, pair in enumerate(pairs):
        sample = make_sample(
            people, rows[pair], IMAGE, COCO, geometry=CropGeometry(), draws=CropDraws(), drop_outside=True
        )
        visible = (sample.keypoints[1, :, 2] > 0).sum()
        if golden[f"{name}/nearest_id"][record] >= 0:
            assert visible == golden[f"{name}/nearest_visible_in_crop"][record]
        second = pair[0] if visible < 4 else pair[1]
        assert people.annotation_ids[rows][second] == golden[f"{name}/second_id"][record]
        assert rows[second] == golden[f"{name}/second_index"][record]
        # The arrays follow.
        expected = sample.keypoints[[0, 0 if visible < 4 else 1]]
        np.testing.assert_array_equal(present_people(sample.keypoints), expected)


@pytest.mark.parametrize("number", range(5))
def test_the_papers_rule_on_the_recorded_scenes(golden, number):
    people, rows, boxes = records(golden, number)
    pairs = box_people(boxes, people.boxes[rows], people.keypoints[rows], 2, "paper")
    seconds = ids(people, rows, pairs, False)[:, 0]
    assert seconds.tolist() == golden[f"scene{number}/derived_paper_rule_second_id"].tolist()


def test_nearest_crowdpose_people_equal_the_release():
    golden = load("h2_eval_crowdpose")
    keep = (golden["gt/iscrowd"] == 0) & (golden["gt/num_keypoints"] > 0)
    known = dict(zip(golden["lambda_db_annotation_id"].tolist(), golden["lambda_db_nearest_id"].tolist(), strict=True))
    for image in set(golden["gt/image_id"].tolist()):
        mine = np.flatnonzero(keep & (golden["gt/image_id"] == image))
        keypoints = golden["gt/keypoints"][mine].reshape(-1, 14, 3)
        people = scene(golden["gt/bbox"][mine], keypoints, ids=golden["gt/id"][mine])
        rows = trainable_people(people)
        boxes, _ = clean_boxes(people.boxes[rows], Size(640, 480))
        pairs = box_people(boxes, people.boxes[rows], keypoints[rows], 2, "released")
        nearest = ids(people, rows, pairs, True)[:, 0]
        assert nearest.tolist() == [known[i] for i in people.annotation_ids[rows].tolist()]


def literal_box_people(boxes, annotated, keypoints, instances, rule):
    result = []
    for i, box in enumerate(boxes):
        candidates = []
        for j, other in enumerate(boxes):
            x1, y1, x2, y2 = annotated[i]
            inside = sum(v > 0 and x1 <= x <= x2 and y1 <= y <= y2 for x, y, v in keypoints[j])
            if j != i and (rule == "released" or inside >= 3):
                dx, dy = ((other[k] + other[k + 2] - box[k] - box[k + 2]) / 2 for k in (0, 1))
                candidates.append((dx * dx + dy * dy, j))
        others = [j for _, j in sorted(candidates)][: instances - 1]
        result.append([i, *others, *[i] * (instances - 1 - len(others))])
    return result


@given(st.integers(0, 6), st.integers(1, 4), st.sampled_from(["released", "paper"]), st.integers(0, 999))
def test_both_rules_equal_their_literal_twin(count, instances, rule, seed):
    rng = np.random.default_rng(seed)
    # Whole numbers, so that equal distances occur and float32 is exact.
    corner = rng.integers(0, 6, (count, 2)) * 10
    boxes = np.concatenate([corner, corner + rng.integers(1, 6, (count, 2)) * 10], axis=1).astype(float)
    keypoints = np.concatenate([rng.uniform(0, 100, (count, 5, 2)), rng.integers(0, 3, (count, 5, 1))], axis=2)
    ours = box_people(boxes, boxes, keypoints, instances, rule)
    assert ours.shape == (count, instances)
    assert ours.tolist() == literal_box_people(boxes, boxes, keypoints, instances, rule)


def test_permuting_people_permutes_their_seconds():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 60, (6, 2))], axis=1)
    keypoints = np.concatenate([rng.uniform(0, 100, (6, 17, 2)), np.ones((6, 17, 1))], axis=2)
    order = rng.permutation(6)
    for rule in ("released", "paper"):
        found = box_people(boxes, boxes, keypoints, 3, rule)
        permuted = box_people(boxes[order], boxes[order], keypoints[order], 3, rule)
        assert order[permuted].tolist() == found[order].tolist()


def test_hidden_keypoints_count_and_unlabeled_ones_do_not():
    keypoints = np.array([[[5, 5, 1], [6, 6, 2], [7, 7, 0], [10, 10, 2], [10.1, 5, 2]]])
    assert keypoints_in_boxes(keypoints, np.array([[0, 0, 10, 10]])).tolist() == [[3]]


def test_three_keypoints_in_the_crop_are_too_few_and_four_enough():
    keypoints = np.random.default_rng(0).random((4, 17, 3)).astype(np.float32)
    keypoints[1, 4:, 2] = keypoints[2, 3:, 2] = keypoints[3, :, 2] = 0
    present = present_people(keypoints)
    np.testing.assert_array_equal(present, keypoints[[0, 1, 0, 0]])
    np.testing.assert_array_equal(present_people(present), present)


def test_one_instance_and_nobody():
    nobody = np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 17, 3))
    for rule in ("released", "paper"):
        assert box_people(*nobody, 2, rule).shape == (0, 2)
        one = box_people(np.array([[0, 0, 9, 9.0]]), np.array([[0, 0, 9, 9.0]]), np.ones((1, 17, 3)), 3, rule)
        assert one.tolist() == [[0, 0, 0]]
        two = np.array([[0, 0, 9, 9.0], [1, 1, 9, 9]])
        assert box_people(two, two, np.ones((2, 17, 3)), 1, rule).tolist() == [[0], [1]]
