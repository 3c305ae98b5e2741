"""Scores and suppression against recorded ones, literal twins, and the released evaluators' results from end to end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.made import ours as ten_numbers
from evaluation.metrics.test_average_precision import golden_truth
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.methods.top_down.scoring import (
    ScoringSettings,
    box_threshold_of_others,
    calibrated_scores,
    default_box_threshold,
    keypoint_probabilities,
    merge,
    oks_nms_high_index_first,
    person_scores,
    soft_oks_nms,
)
from everypose.methods.top_down.settings import CropInference, KeypointCalibration, PersonCalibration
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load

COCO, CROWDPOSE = Skeleton.named("coco"), Skeleton.named("crowdpose")
COCO_SIGMAS = COCO.require_sigmas()


@pytest.mark.parametrize("number", range(3))
def test_suppression_equals_the_release(number):
    golden = load("mipnet/suppression")
    values = {key.partition("/")[2]: value for key, value in golden.items() if key.startswith(f"set{number}/")}
    sigmas = golden["sigmas14_nms" if number == 2 else "sigmas17"]
    poses = values["keypoints"], values["score"], values["area"], sigmas
    for threshold in (0.5, 0.7, 0.9):
        kept = oks_nms_high_index_first(*poses, threshold)
        assert kept.tolist() == values[f"keep_{threshold}"].tolist()
    assert soft_oks_nms(*poses, 0.9).tolist() == values["soft_keep_0.9"].tolist()


def literal_oks(first, second, area, sigmas):
    terms = [
        np.exp(-((x - u) ** 2 + (y - v) ** 2) / ((2 * sigma) ** 2 * (area + np.spacing(1)) * 2))
        for (x, y, *_), (u, v, *_), sigma in zip(first, second, sigmas, strict=True)
    ]
    return sum(terms) / len(terms)


def test_similarities_equal_the_release():
    golden = load("mipnet/suppression")
    keypoints, areas = golden["set0/keypoints"], golden["set0/area"]
    for i, j in np.ndindex(len(areas), len(areas)):
        twin = literal_oks(keypoints[i], keypoints[j], (areas[i] + areas[j]) / 2, golden["sigmas17"])
        assert twin == pytest.approx(golden["set0/oks_matrix"][i, j], abs=1e-12)


def literal_oks_nms(keypoints, scores, areas, sigmas, threshold):
    order, kept = sorted(range(len(scores)), key=lambda i: (scores[i], i), reverse=True), []
    while order:
        best, *order = order
        kept.append(best)
        order = [
            j
            for j in order
            if literal_oks(keypoints[best], keypoints[j], (areas[best] + areas[j]) / 2, sigmas) <= threshold
        ]
    return kept


def literal_soft_oks_nms(keypoints, scores, areas, sigmas, threshold):
    order, kept = sorted(range(len(scores)), key=lambda i: (scores[i], i), reverse=True), []
    left = [(scores[i], i) for i in order]
    while left and len(kept) < 20:
        (_, best), *left = left
        kept.append(best)
        lowered = [
            (
                score
                * np.exp(
                    -(literal_oks(keypoints[best], keypoints[j], (areas[best] + areas[j]) / 2, sigmas) ** 2) / threshold
                ),
                j,
            )
            for score, j in left
        ]
        left = [lowered[place] for place in sorted(range(len(lowered)), key=lambda p: (lowered[p][0], p), reverse=True)]
    return kept


def some_poses(count, seed):
    """Poses of a few people each found several times, some scores equal."""
    rng = np.random.default_rng(seed)
    people = rng.uniform(0, 200, (3, 17, 2))
    xy = people[rng.integers(0, 3, count)] + rng.normal(0, rng.choice([0, 2, 8], (count, 1, 1)), (count, 17, 2))
    keypoints = np.concatenate([xy, rng.uniform(0, 1, (count, 17, 1))], axis=2)
    return keypoints, rng.choice([0.25, 0.5, *rng.random(count)], count), rng.uniform(5e3, 5e4, count)


@given(st.integers(0, 30), st.integers(0, 99), st.sampled_from([0.3, 0.7, 0.9]))
def test_suppression_equals_its_literal_twins(count, seed, threshold):
    keypoints, scores, areas = some_poses(count, seed)
    poses = keypoints, scores, areas, COCO_SIGMAS, threshold
    assert oks_nms_high_index_first(*poses).tolist() == literal_oks_nms(*poses)
    if len(set(scores)) == count:
        assert soft_oks_nms(*poses).tolist() == literal_soft_oks_nms(*poses)


@pytest.mark.parametrize("suppress", [oks_nms_high_index_first, soft_oks_nms])
def test_permuting_poses_permutes_what_is_kept(suppress):
    keypoints, _, areas = some_poses(15, 0)
    scores = np.random.default_rng(0).random(15)
    order = np.random.default_rng(1).permutation(15)
    kept = suppress(keypoints, scores, areas, COCO_SIGMAS, 0.5)
    permuted = suppress(keypoints[order], scores[order], areas[order], COCO_SIGMAS, 0.5)
    assert order[permuted].tolist() == kept.tolist()


def test_scores_of_people():
    keypoints = np.zeros((3, 4, 3))
    keypoints[0, :, 2] = (0.9, 0.2, 0.5, -0.3)
    keypoints[1, :, 2] = (0.1, 0.2, 0.0, -1)
    keypoints[2, :, 2] = 1
    np.testing.assert_allclose(person_scores(keypoints, np.array([0.5, 1, 0.25])), [0.35, 0, 0.25], rtol=1e-7)
    assert person_scores(keypoints.astype(np.float32), np.ones(3)).dtype == np.float64


def merged(golden, scoring, sigmas):
    """The people of each recorded image, from the poses of all its boxes."""
    half = len(golden["image_id"]) // 2
    # The first half of the recorded poses are the seconds, with their scores decayed already.
    poses = np.stack([golden["all_preds"][half:], golden["all_preds"][:half]], axis=1)
    boxes, images = golden["all_boxes"][half:], golden["image_id"][half:]
    # Regions in units of 200 pixels, and their areas.
    sizes = 200 * boxes[:, 2:4]
    np.testing.assert_allclose(sizes.prod(axis=1), boxes[:, 4], rtol=1e-6)
    np.testing.assert_allclose(golden["all_boxes"][:half, 5], scoring.decay * boxes[:, 5])
    for image in dict.fromkeys(images.tolist()):
        rows = np.flatnonzero(images == image)
        yield image, boxes[rows, 6], merge(poses[rows], boxes[rows, 5], sizes[rows], sigmas, scoring)


def results_of(people):
    """COCO results of merged images."""
    return [
        {"image_id": image, "score": float(score), "keypoints": pose.ravel().tolist()}
        for image, _, found in people
        for score, pose in zip(found.scores, found.keypoints, strict=True)
    ]


def test_coco_evaluation_from_end_to_end():
    golden = load("h_eval_end_to_end")
    people = list(merged(golden, ScoringSettings(), COCO_SIGMAS))
    results = results_of(people)
    assert [row["image_id"] for row in results] == golden["result_merged/image_id"].tolist()
    np.testing.assert_allclose([row["score"] for row in results], golden["result_merged/score"], rtol=1e-12)
    np.testing.assert_allclose([row["keypoints"] for row in results], golden["result_merged/keypoints"], rtol=1e-12)
    annotation = np.concatenate([ids[found.box] for _, ids, found in people])
    assert annotation.tolist() == golden["result_merged/annotation_id"].tolist()
    scores = evaluate_oks(golden_truth(golden, crowdpose=False), results, COCO)
    np.testing.assert_allclose(ten_numbers(scores), golden["ap_merged"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("which", "instance"), [("lambda1_primary", 0), ("lambda0_second", 1)])
def test_evaluation_of_one_instance_from_end_to_end(which, instance):
    golden = load("h_eval_end_to_end")
    half = len(golden["image_id"]) // 2
    rows = slice(half, None) if instance == 0 else slice(0, half)
    results = []
    for image in dict.fromkeys(golden["image_id"][rows].tolist()):
        boxes = golden["all_boxes"][rows][golden["image_id"][rows] == image]
        poses = golden["all_preds"][rows][golden["image_id"][rows] == image]
        found = merge(poses[:, None], boxes[:, 5], 200 * boxes[:, 2:4], COCO_SIGMAS, ScoringSettings())
        results += results_of([(image, None, found)])
    np.testing.assert_allclose([row["score"] for row in results], golden[f"result_{which}/score"], rtol=1e-12)
    np.testing.assert_allclose([row["keypoints"] for row in results], golden[f"result_{which}/keypoints"], rtol=1e-12)
    scores = evaluate_oks(golden_truth(golden, crowdpose=False), results, COCO)
    np.testing.assert_allclose(ten_numbers(scores), golden[f"ap_{which}"], rtol=0, atol=1e-12)


def test_crowdpose_evaluation_from_end_to_end():
    golden = load("h2_eval_crowdpose")
    people = list(merged(golden, ScoringSettings(oks_threshold=None), CROWDPOSE.require_sigmas()))
    results = results_of(people)
    assert [row["image_id"] for row in results] == golden["result_merged/image_id"].tolist()
    np.testing.assert_allclose([row["score"] for row in results], golden["result_merged/score"], rtol=1e-12)
    scores = evaluate_oks(golden_truth(golden, crowdpose=True), results, CROWDPOSE, protocol="crowdpose")
    np.testing.assert_allclose(list(scores.numbers().values()), golden["ap_merged"], rtol=0, atol=1e-12)


def test_a_second_that_repeats_its_primary_goes_and_another_stays_for_less():
    keypoints, _, _ = some_poses(1, 3)
    keypoints[..., 2] = 0.8
    pair = np.stack([keypoints, keypoints], axis=1)
    sizes = np.array([[200.0, 200.0]])
    alone = merge(pair, [0.9], sizes, COCO_SIGMAS, ScoringSettings())
    assert (alone.instance.tolist(), alone.scores.tolist()) == ([0], pytest.approx([0.72]))
    # Even without a decay, where both have one score.
    assert merge(pair, [0.9], sizes, COCO_SIGMAS, ScoringSettings(decay=1.0)).instance.tolist() == [0]
    pair[0, 1, :, 0] += 150
    both = merge(pair, [0.9], sizes, COCO_SIGMAS, ScoringSettings())
    assert (both.instance.tolist(), both.scores.tolist()) == ([0, 1], pytest.approx([0.72, 0.36]))
    soft = merge(pair, [0.9], sizes, COCO_SIGMAS, ScoringSettings(soft=True))
    assert soft.scores.tolist() == both.scores.tolist()


@pytest.mark.parametrize(
    "scoring", [ScoringSettings(), ScoringSettings(soft=True), ScoringSettings(oks_threshold=None)]
)
def test_an_image_without_boxes_has_nobody(scoring):
    found = merge(np.zeros((0, 2, 17, 3)), np.zeros(0), np.zeros((0, 2)), COCO_SIGMAS, scoring)
    assert found.keypoints.shape == (0, 17, 3)
    assert len(found.scores) == len(found.box) == len(found.instance) == 0


def test_permuting_boxes_permutes_the_people():
    keypoints, _, _ = some_poses(12, 5)
    poses, order = keypoints.reshape(4, 3, 17, 3), np.array([2, 0, 3, 1])
    box_scores, sizes = np.array([0.9, 0.8, 0.7, 0.6]), np.random.default_rng(0).uniform(100, 200, (4, 2))
    found = merge(poses, box_scores, sizes, COCO_SIGMAS, ScoringSettings())
    again = merge(poses[order], box_scores[order], sizes[order], COCO_SIGMAS, ScoringSettings())
    np.testing.assert_array_equal(again.keypoints, found.keypoints)
    assert order[again.box].tolist() == found.box.tolist()
    assert again.instance.tolist() == found.instance.tolist()


def test_calibrated_scores_are_the_logistic_of_their_products():
    poses = np.zeros((2, 2, 17, 3))
    poses[..., 2] = 0.8
    poses[:, :, 10:, 2] = 0.05  # not counted
    poses[1, 1, :, 0] = 1000  # far from its primary
    calibration = PersonCalibration(bias=2.0, slope=1.5, second=-1.0, likeness=0.5)
    scores = calibrated_scores(
        poses, [0.9, 0.5], areas=[5000, 5000], sigmas=COCO_SIGMAS, confident=0.1, calibration=calibration
    )
    logits = 2.0 + 1.5 * np.log(np.array([[0.9], [0.5]]) * 0.8) + np.array([[0, -0.5], [0, -1.0]])
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)))


def test_calibration_keeps_the_order_of_primaries_and_a_pose_without_keypoints_last():
    rng = np.random.default_rng(0)
    poses = rng.uniform(0, 100, (8, 1, 17, 3))
    poses[..., 2] = rng.uniform(0.2, 1, (8, 1, 1))
    poses[3, ..., 2] = 0
    boxes, sizes = rng.uniform(0.1, 1, 8), np.full((8, 2), 60.0)
    calibration = PersonCalibration(bias=2.0, slope=1.5)
    plain = merge(poses, boxes, sizes, COCO_SIGMAS, ScoringSettings(confident=0.1))
    calibrated = merge(poses, boxes, sizes, COCO_SIGMAS, ScoringSettings(confident=0.1, calibration=calibration))
    assert plain.box.tolist() == calibrated.box.tolist()
    assert calibrated.box[-1] == 3
    assert (calibrated.scores > 0).all()


def test_keypoint_probabilities():
    found = keypoint_probabilities([0.0, 0.5], KeypointCalibration(bias=-2.0, slope=4.0))
    np.testing.assert_allclose(found, [1 / (1 + np.exp(2)), 0.5])


def calibrated_model(**changes):
    calibration = PersonCalibration(bias=5.6, slope=3.24, second=-4.465)
    fields = {"crop_size": (192, 256), "min_score": 0.6, "box_threshold": 0.25, "calibration": calibration}
    return CropInference.model_validate({**fields, **changes})


def test_the_default_box_threshold_follows_the_score_that_people_need():
    model = calibrated_model()
    assert default_box_threshold(model) == default_box_threshold(model, 0.6) == 0.25
    assert default_box_threshold(model, 0.0) == default_box_threshold(model, 0.3) == 0.2
    assert default_box_threshold(model, 1.0) == 1.0
    assert default_box_threshold(calibrated_model(box_threshold=0.1), 0.0) == 0.1
    scores = np.linspace(0, 1, 101)
    assert np.all(np.diff([default_box_threshold(model, score) for score in scores]) >= 0)


@pytest.mark.parametrize("changes", [{"calibration": None}, {"box_threshold": None}], ids=str)
def test_a_box_threshold_without_a_calibration_does_not_follow(changes):
    model = calibrated_model(**changes)
    assert default_box_threshold(model, 0.0) == default_box_threshold(model, 0.9) == model.box_threshold


@given(st.floats(0.61, 0.99), st.floats(0, 1), st.floats(0.1, 0.9))
def test_people_of_boxes_below_the_threshold_stay_below_the_score(min_score, box_score, confidence):
    """As long as their mean confidence is 0.9 at most."""
    model = calibrated_model()
    box_threshold = default_box_threshold(model, min_score)
    poses = np.full((1, 2, 17, 3), confidence)
    scores = calibrated_scores(
        poses, [box_score], areas=[1e4], sigmas=COCO_SIGMAS, confident=0.05, calibration=model.calibration
    )
    if 0.25 <= box_score < box_threshold:
        assert scores.max() < min_score + 1e-12


@given(st.floats(0.01, 0.99), st.floats(0, 1), st.floats(0.1, 1), st.floats(-1, 1))
def test_others_of_boxes_below_their_threshold_stay_below_the_score(min_score, box_score, confidence, likeness):
    """As long as no confidence is above 1."""
    calibration = PersonCalibration(bias=5.6, slope=3.24, second=-4.465, likeness=likeness)
    model = calibrated_model(calibration=calibration)
    poses = np.full((1, 2, 17, 3), confidence)
    scores = calibrated_scores(
        poses, [box_score], areas=[1e4], sigmas=COCO_SIGMAS, confident=0.05, calibration=calibration
    )
    if box_score < box_threshold_of_others(model, min_score):
        assert scores[0, 1] < min_score + 1e-12


def test_without_a_calibration_or_a_lowest_score_all_others_are_needed():
    assert box_threshold_of_others(calibrated_model(calibration=None), 0.9) == 0
    assert box_threshold_of_others(calibrated_model(), 0.0) == 0
