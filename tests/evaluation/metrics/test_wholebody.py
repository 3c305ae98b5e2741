import copy

import numpy as np
import pytest

from evaluation.made import ours, pycocotools_numbers, with_people
from everypose.errors import UsageError
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.wholebody import PARTS, score_wholebody
from everypose.skeleton.skeleton import Skeleton

WHOLE = Skeleton.named("coco_wholebody")
NAMES = {"keypoints": (0, 17), "foot_kpts": (17, 23), "face_kpts": (23, 91), "lefthand_kpts": (91, 112)}
NAMES["righthand_kpts"] = (112, 133)


def score(truth, results, skeleton=WHOLE):
    people = read_ground_truth(truth, 133)
    return score_wholebody(people, read_results(results, people), skeleton)


def apart(entries):
    """As COCO-WholeBody's files: five lists."""
    return [
        {**entry, **{name: entry["keypoints"][3 * a : 3 * b] for name, (a, b) in NAMES.items()}} for entry in entries
    ]


def literal_part(truth, results, part):
    """The part's keypoints as a data set of their own, for pycocotools."""
    truth, results = copy.deepcopy(truth), copy.deepcopy(results)
    for result in results:
        pose = np.reshape(result["keypoints"], (133, 3))
        result["area"] = float(np.ptp(pose[:, 0]) * np.ptp(pose[:, 1]))
        result["bbox"] = [0, 0, result["area"], 1]
    for entry in [*truth["annotations"], *results]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (133, 3))[part].ravel().tolist()
        entry["num_keypoints"] = sum(v > 0 for v in entry["keypoints"][2::3])
    return pycocotools_numbers(truth, results, WHOLE.sigmas[part])


@pytest.fixture(scope="module")
def data():
    truth, results = with_people(1, images=8, people=3, count=133)
    rng = np.random.default_rng(0)
    for person in truth["annotations"]:  # hands, feet or face of some people are not labeled
        pose = np.reshape(person["keypoints"], (133, 3))
        for part in list(PARTS.values())[2:]:
            if rng.random() < 0.4:
                pose[part] = 0
        person["keypoints"] = pose.ravel().tolist()
        person["num_keypoints"] = int((pose[:17, 2] > 0).sum())
    return truth, results


def test_every_part_equals_its_literal_twin(data):
    truth, results = data
    stored = {**truth, "annotations": apart(truth["annotations"])}
    scores = score(stored, apart(results))
    assert list(scores) == list(PARTS)
    for name, part in PARTS.items():
        np.testing.assert_allclose(ours(scores[name]), literal_part(truth, results, part), rtol=0, atol=1e-12)


def test_one_list_of_133_is_the_same(data):
    truth, results = data
    apart_scores = score({**truth, "annotations": apart(truth["annotations"])}, results)
    scores = score({**truth, "annotations": apart(truth["annotations"])}, apart(results))
    assert [ours(scores[p]).tolist() for p in PARTS] == [ours(apart_scores[p]).tolist() for p in PARTS]


def test_a_part_that_nobody_has_is_left_out(data):
    truth, results = copy.deepcopy(data)
    for person in truth["annotations"]:
        person["keypoints"][3 * 112 :] = [0] * 63
    stored = {**truth, "annotations": apart(truth["annotations"])}
    assert list(score(stored, results)) == list(PARTS)[:-1]


def test_other_skeletons_are_refused(data):
    with pytest.raises(UsageError, match="needs 133 keypoints"):
        score(*data, Skeleton.named("coco"))  # type: ignore[call-arg]
