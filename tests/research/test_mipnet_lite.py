"""The measurements of mipnet-lite: AP, boxes of several detectors, second crops, calibration."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from research.mipnet_lite import precision, reliability, resize_detector, trial_poses, trials

RNG = np.random.default_rng(0)


def scene(images: int = 6, people: int = 3):
    """Annotations of upright stick people, and noisy detections of most of them."""
    truth = {
        "images": [{"id": image, "persons_without_keypoints_known": True} for image in range(images)],
        "categories": [{"id": 1}],
        "annotations": [],
    }
    found = {}
    for image in range(images):
        poses = []
        for person in range(people):
            xy = RNG.uniform((60 * person, 0), (60 * person + 80, 80), (17, 2))
            low, high = xy.min(axis=0), xy.max(axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": box,
                    "area": box[2] * box[3] * 0.6,
                    "iscrowd": 0,
                    "num_keypoints": 17,
                    "keypoints": np.column_stack([xy, np.full(17, 2.0)]).ravel().tolist(),
                }
            )
            poses.append(np.column_stack([xy + RNG.normal(0, 4, xy.shape), np.ones(17)]))
        poses.append(np.column_stack([RNG.uniform(0, 200, (17, 2)), np.ones(17)]))
        found[image] = (np.array(poses), RNG.random(people + 1))
    return truth, found


def published_ap(truth, found):
    results = [
        {"image_id": image, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": float(score)}
        for image, (poses, scores) in found.items()
        for pose, score in zip(poses, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = truth
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_ap_of_all_images_equals_pycocotools():
    truth, found = scene()
    matches = precision.match(found, truth)
    value = precision.average_precision(matches)
    assert 0.2 < value < 0.95
    assert value == pytest.approx(published_ap(truth, found), abs=1e-9)
    every = np.arange(len(matches))[None]
    assert precision.sampled(matches, every)[0] == value


def test_ap_of_some_images_counts_their_people_only():
    truth, found = scene()
    part = {image: found[image] for image in (1, 4)}
    smaller = {
        **truth,
        "images": [one for one in truth["images"] if one["id"] in part],
        "annotations": [one for one in truth["annotations"] if one["image_id"] in part],
    }
    value = precision.average_precision(precision.match(part, truth))
    assert value == pytest.approx(published_ap(smaller, part), abs=1e-9)


def test_constants_of_the_published_sides_are_their_own():
    first, second = (np.array(resize_detector.constants(side)) for side in resize_detector.PUBLISHED)
    np.testing.assert_array_equal(resize_detector.resized(first, second, 416), second)
    np.testing.assert_array_equal(resize_detector.resized(first, second, 640), resize_detector.constants(640))
    centers = [(np.arange(side // 8, dtype=np.float32) + 0.5) * 8 for side in resize_detector.PUBLISHED]
    np.testing.assert_array_equal(
        resize_detector.resized(centers[0], centers[1], 512), (np.arange(64, dtype=np.float32) + 0.5) * 8
    )
    with pytest.raises(ValueError, match="does not follow"):
        resize_detector.resized(np.array([3]), np.array([4]), 640)


def test_boxes_of_two_detectors_are_joined_by_person():
    first = np.array([[0, 0, 100, 200, 0.9], [10, 0, 105, 200, 0.5], [300, 0, 400, 200, 0.4]])
    second = np.array([[2, 0, 100, 198, 0.8], [500, 0, 600, 200, 0.7], [700, 0, 800, 200, 0.1]])
    boxes, scores = trial_poses.joined([first, second])
    np.testing.assert_array_equal(boxes, [first[0, :4], first[2, :4], second[1, :4]])
    np.testing.assert_allclose(scores, [[0.9, 0.8, 0], [0.4, 0, 0], [0, 0.7, 0]])


def test_close_boxes_of_the_first_detector_are_added():
    first = np.array([[0, 0, 100, 200, 0.9], [20, 0, 120, 200, 0.8]])
    boxes, scores = trial_poses.joined([first])
    np.testing.assert_array_equal(boxes, first[:, :4])
    np.testing.assert_allclose(scores, [[0.9, 0], [0, 0.8]])


class Brightness:
    """A network whose 17 heatmaps all show the crop's red channel at every fourth pixel."""

    def __call__(self, crops):
        red = np.stack([crop[::4, ::4, 0] for crop in crops]).astype(np.float32)
        return np.broadcast_to(red[:, None, None], (len(crops), 1, 17, 64, 48)).copy()


def test_the_mirrored_view_lies_on_the_base_view():
    image = np.zeros((300, 300, 3), np.uint8)
    image[120:140, 100:120, 0] = 200
    matrices = trial_poses.crop_matrices(np.array([[60.0, 60, 200, 240]]), 1.25)
    base = trial_poses.run_view(Brightness(), image, matrices)
    mirrored = trial_poses.run_view(Brightness(), image, matrices, mirrored=True)
    np.testing.assert_allclose(base, mirrored, atol=8)
    assert base.max() > 150


def test_a_wide_view_in_the_frame_of_the_base_view_shows_the_same_place():
    image = np.zeros((300, 300, 3), np.uint8)
    image[120:140, 100:120, 0] = 200
    boxes = np.array([[60.0, 60, 200, 240]])
    base, wide = (trial_poses.crop_matrices(boxes, padding) for padding in (1.25, 1.45))
    there = trial_poses.run_view(Brightness(), image, base)
    found = trial_poses.in_frame(trial_poses.run_view(Brightness(), image, wide), wide, base)

    def center(maps):
        rows, columns = np.mgrid[:64, :48]
        weights = maps[0, 0, 0] / maps[0, 0, 0].sum()
        return (weights * columns).sum(), (weights * rows).sum()

    np.testing.assert_allclose(center(found), center(there), atol=0.3)


def test_agreement_is_one_for_equal_views_and_falls_with_distance():
    image = {"boxes": np.array([[0.0, 0, 75, 100]]), "base": np.zeros((1, 2, 17, 3)), "other": np.zeros((1, 2, 17, 3))}
    assert trials.agreement("base", "other")(image)[0] == 1
    image["other"][..., 0] = 5
    area = 1.25**2 * 7500
    expected = np.exp(-25 / (2 * (2 * trials.SIGMAS) ** 2 * area)).mean()
    assert trials.agreement("base", "other")(image)[0] == pytest.approx(expected)


def test_the_best_pose_of_a_person_is_right_and_a_second_one_wrong():
    truth, _ = scene(images=1, people=1)
    person = np.array(truth["annotations"][0]["keypoints"]).reshape(17, 3)
    poses = np.stack([person, person + 0.1, person + 500])
    targets, weights, labeled = reliability.judged(poses, truth["annotations"], complete=True)
    np.testing.assert_array_equal(targets, [1, 0, 0])
    np.testing.assert_array_equal(weights, 1)
    assert labeled == 1
    _, weights, _ = reliability.judged(poses, truth["annotations"], complete=False)
    np.testing.assert_array_equal(weights, [1, 1, 0])


def test_the_fit_recovers_the_calibration():
    products = RNG.uniform(0.02, 0.9, 4000)
    targets = 1 / (1 + np.exp(-(2.5 + 1.7 * np.log(products))))
    bias, slope = reliability.fit(products, targets, np.ones(4000))
    assert (bias, slope) == (pytest.approx(2.5, abs=1e-3), pytest.approx(1.7, abs=1e-3))
