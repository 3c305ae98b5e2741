import numpy as np
import pytest

from evaluation.made import with_people
from everypose.evaluation.coco_arrays import read_ground_truth, read_results
from everypose.evaluation.metrics.error_types import ERROR_TYPES, MATCH_OKS, classify_errors, match_detections
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
SIGMAS = np.array(COCO.sigmas)


def compared(truth, results):
    people = read_ground_truth(truth, 17)
    return compute_oks(people, read_results(results, people), SIGMAS)


def literal_match(comparison):
    """Detections by falling score, each takes the best free person of its image."""
    oks = dict(
        zip(
            zip(comparison.pair_detection.tolist(), comparison.pair_person.tolist(), strict=True),
            comparison.oks.tolist(),
            strict=True,
        )
    )
    taken, found = set(), {}
    for detection in comparison.detections.tolist():
        free = [
            (value, -person)
            for (d, person), value in oks.items()
            if d == detection
            and person not in taken
            and comparison.ground_truth.is_scored[person]
            and value >= MATCH_OKS
        ]
        if free:
            person = -max(free)[1]
            found[detection] = person
            taken.add(person)
    return found


def literal_kind(truth, results, detection, person, k):
    def similarity(other, joint):
        x, y, v = truth.keypoints[other, joint]
        if v == 0:
            return 0.0
        px, py = results.keypoints[detection, k, :2]
        return np.exp(-((px - x) ** 2 + (py - y) ** 2) / (2 * (2 * SIGMAS[joint]) ** 2 * truth.areas[other]))

    own = similarity(person, k)
    if own >= 0.85:
        return "good"
    if own >= 0.5:
        return "jitter"
    twin = COCO.flip_index[k]
    inversion = similarity(person, twin) if twin != k else 0.0
    others = [o for o in range(len(truth.image)) if truth.image[o] == truth.image[person] and o != person]
    swap = max((similarity(o, j) for o in others if not truth.is_crowd[o] for j in (k, twin)), default=0.0)
    if max(inversion, swap) < 0.5:
        return "miss"
    return "inversion" if inversion > swap else "swap"


@pytest.mark.parametrize("seed", range(4))
def test_matches_and_kinds_equal_their_literal_twin(seed):
    truth, results = with_people(seed, images=8, people=6)
    for result in results[::3]:  # mirrored people make inversions
        pose = np.reshape(result["keypoints"], (17, 3))
        result["keypoints"] = pose[COCO.flip_index].ravel().tolist()
    comparison = compared(truth, results)
    matches = match_detections(comparison)
    expected = literal_match(comparison)
    assert dict(zip(matches.detections.tolist(), matches.people.tolist(), strict=True)) == expected
    mistakes = classify_errors(comparison, matches, COCO.flip_index)
    counts = np.zeros((17, len(ERROR_TYPES)), int)
    for detection, person in expected.items():
        for k in np.flatnonzero(comparison.ground_truth.keypoints[person, :, 2] > 0):
            kind = literal_kind(comparison.ground_truth, comparison.results, detection, person, k)
            counts[k, ERROR_TYPES.index(kind)] += 1
    assert mistakes.counts.tolist() == counts.tolist()
    assert {"good", "jitter", "miss"} <= {ERROR_TYPES[i] for i in np.flatnonzero(counts.sum(axis=0))}


def scene(*poses):
    """One image of people of the given poses (17, 2), all labeled."""
    annotations = [
        {
            "id": i + 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [*pose.min(0).tolist(), *np.ptp(pose, axis=0).tolist()],
            "area": 1e4,
            "iscrowd": 0,
            "keypoints": np.column_stack([pose, np.full(17, 2)]).ravel().tolist(),
            "num_keypoints": 17,
        }
        for i, pose in enumerate(poses)
    ]
    return {"images": [{"id": 1}], "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def test_each_kind_made_on_purpose():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 200, (17, 2)), rng.uniform(400, 600, (17, 2))
    predicted = first.copy()
    wrist, ankle, hip, elbow = (COCO.index(n) for n in ("left_wrist", "left_ankle", "right_hip", "left_elbow"))
    predicted[wrist] = first[COCO.index("right_wrist")]
    predicted[ankle] = second[ankle]
    predicted[hip] += 900
    predicted[elbow] += (100 * 2 * SIGMAS[elbow] * np.sqrt(-2 * np.log(0.7)), 0)
    result = {"image_id": 1, "score": 1.0, "keypoints": np.column_stack([predicted, np.ones(17)]).ravel().tolist()}
    comparison = compared(scene(first, second), [result])
    mistakes = classify_errors(comparison, match_detections(comparison), COCO.flip_index)
    kinds = {k: ERROR_TYPES[int(np.argmax(mistakes.counts[k]))] for k in range(17)}
    assert (kinds[wrist], kinds[ankle], kinds[hip], kinds[elbow]) == ("inversion", "swap", "miss", "jitter")
    assert all(kind == "good" for k, kind in kinds.items() if k not in (wrist, ankle, hip, elbow))
    assert mistakes.unmatched.tolist() == [1] * 17
    assert mistakes.median_pixels[0] == 0
    assert mistakes.median_pixels[hip] == pytest.approx(900 * np.sqrt(2))
    assert mistakes.median_relative[hip] == pytest.approx(9 * np.sqrt(2))


def test_no_detections_leave_everybody_unmatched():
    comparison = compared(scene(np.random.default_rng(1).uniform(0, 99, (17, 2))), [])
    mistakes = classify_errors(comparison, match_detections(comparison), COCO.flip_index)
    assert (mistakes.counts.sum(), mistakes.unmatched.tolist()) == (0, [1] * 17)
    assert np.isnan(mistakes.median_pixels).all()
