import copy

import numpy as np
import pytest

from evaluation.made import pycocotools_numbers, with_people
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.breakdown import (
    breakdown,
    label_classes,
    largest_overlap,
    occlusion_classes,
    size_classes,
)
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def literal_iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


def literal_overlap(truth, person):
    others = [a for a in truth["annotations"] if a is not person and a["image_id"] == person["image_id"]]
    return max((literal_iou(person["bbox"], other["bbox"]) for other in others), default=0)


def only(truth, wanted):
    """Everybody else's keypoints hidden; how many people are left."""
    hidden = copy.deepcopy(truth)
    left = 0
    for person, original in zip(hidden["annotations"], truth["annotations"], strict=True):
        if person["num_keypoints"] and not wanted(original):
            person["num_keypoints"], person["keypoints"] = 0, [0] * 51
        elif person["num_keypoints"] and not person["iscrowd"]:
            left += 1
    return hidden, left


def labels(person):
    return sum(v > 0 for v in person["keypoints"][2::3])


LITERAL = {
    "occlusion (largest box IoU with another person)": {
        "0": lambda t, a: literal_overlap(t, a) == 0,
        "0 to 0.3": lambda t, a: 0 < literal_overlap(t, a) <= 0.3,
        "0.3 to 0.5": lambda t, a: 0.3 < literal_overlap(t, a) <= 0.5,
        "above 0.5": lambda t, a: literal_overlap(t, a) > 0.5,
    },
    "size (square pixels)": {
        "small (< 32²)": lambda _, a: a["area"] < 32**2,
        "medium (32² to 96²)": lambda _, a: 32**2 <= a["area"] < 96**2,
        "large (> 96²)": lambda _, a: a["area"] >= 96**2,
    },
    "labeled keypoints": {
        "1 to 5": lambda _, a: 1 <= labels(a) <= 5,
        "6 to 10": lambda _, a: 6 <= labels(a) <= 10,
        "11 to 15": lambda _, a: 11 <= labels(a) <= 15,
        "16 to 17": lambda _, a: labels(a) >= 16,
    },
}


@pytest.mark.parametrize("seed", range(3))
def test_every_class_equals_pycocotools_with_the_others_hidden(seed):
    truth, results = with_people(seed, images=15, people=6)
    people = read_ground_truth(truth, 17)
    found = breakdown(compute_oks(people, read_results(results, people), np.array(COCO.sigmas)))
    assert list(found) == list(LITERAL)
    for kind, rows in found.items():
        assert [row.name for row in rows] == list(LITERAL[kind])
        for row in rows:
            hidden, left = only(truth, lambda a, inside=LITERAL[kind][row.name]: inside(truth, a))
            numbers = pycocotools_numbers(hidden, results, COCO.sigmas)
            assert row.people == left
            np.testing.assert_allclose([row.ap, row.ap50, row.ar], numbers[[0, 1, 5]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [occlusion_classes, size_classes, label_classes])
def test_each_counted_person_is_in_one_class(classes):
    people = read_ground_truth(with_people(9, images=20, people=7)[0], 17)
    member_of = np.sum(list(classes(people).values()), axis=0)
    assert (member_of[people.is_scored] == 1).all()


def test_overlap_of_one_person_and_of_nobody():
    truth, _ = with_people(0)
    one = {**truth, "annotations": truth["annotations"][:1]}
    assert largest_overlap(read_ground_truth(one, 17)).tolist() == [0]
    assert largest_overlap(read_ground_truth({**truth, "annotations": []}, 17)).size == 0
