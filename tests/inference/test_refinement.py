"""Refiners: boxes of poses, crops, scores, duplicates, errors."""

import cv2
import numpy as np
import pytest

import everypose
from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Photo
from everypose.inference.refinement import CROPS_AT_ONCE, Refiner, RefiningEstimator, pose_boxes
from everypose.inference.saved_people import SavedPeople
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from inference.pose_stand_in import COCO, PoseStandIn, refiner_config

IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def people(count=2, seed=0, **more):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform((10, 10, 0.1), (110, 100, 1), (count, 17, 3))
    return People(keypoints, np.linspace(0.9, 0.5, count), COCO, **more)


def refined_literally(pose, move, crop=(48, 64), pose_padding=1.2, padding=1.25):
    """One pose (K, 3) by the paper's steps, in plain numbers."""
    given = pose[pose[:, 2] > 0, :2]
    (left, top), (right, bottom) = given.min(0), given.max(0)
    width, height = pose_padding * (right - left) or 20, pose_padding * (bottom - top) or 20
    width = padding * max(width, height * crop[0] / crop[1])
    scale = crop[0] / width
    return pose[:, :2] + np.array(move) / scale


def test_poses_are_refined_in_crops_around_their_extent():
    runtime = PoseStandIn()
    found = people()
    refined = Refiner(runtime, refiner_config(nms=None))(found, IMAGE)
    for before, after in zip(found.keypoints, refined.keypoints, strict=True):
        np.testing.assert_allclose(after[:, :2], refined_literally(before, runtime.move), atol=1e-3)
    np.testing.assert_array_equal(refined.keypoints[..., 2], found.keypoints[..., 2])
    np.testing.assert_array_equal(refined.scores, found.scores)
    np.testing.assert_array_equal(refined.boxes, found.boxes)
    assert refined.image is IMAGE
    given = runtime.poses[0][0]
    assert (given[:, 2] > 0).all()
    # The extent is in the middle of the crop.
    np.testing.assert_allclose((given[:, :2].min(0) + given[:, :2].max(0)) / 2, (24, 32), atol=1e-3)


def test_the_crop_shows_the_image_at_the_pose():
    runtime = PoseStandIn()
    pose = np.zeros((1, 17, 3))
    pose[0, :2] = [[40, 30, 1], [80, 90, 1]]
    Refiner(runtime, refiner_config())(People(pose, [1.0], COCO), IMAGE)
    scale = 64 / (60 * 1.2 * 1.25)
    matrix = np.array([[scale, 0, 24 - scale * 60], [0, scale, 32 - scale * 60]])
    np.testing.assert_array_equal(runtime.crops[0][0], cv2.warpAffine(IMAGE, matrix, (48, 64)))


def test_keypoints_without_a_score_are_not_given_and_count_for_no_box():
    runtime = PoseStandIn()
    found = people(1)
    found.keypoints[0, 3:, 2] = 0
    found.keypoints[0, 4, :2] = 1e5
    refined = Refiner(runtime, refiner_config())(found, IMAGE)
    assert runtime.poses[0][0, :, 2].tolist() == [pytest.approx(v) for v in found.keypoints[0, :, 2].tolist()]
    np.testing.assert_allclose(
        refined.keypoints[0, :3, :2], refined_literally(found.keypoints[0], runtime.move)[:3], atol=1e-3
    )


def test_a_pose_without_keypoints_stays():
    found = people(2)
    found.keypoints[0, :, 2] = 0
    refined = Refiner(PoseStandIn(), refiner_config(nms=None))(found, IMAGE)
    np.testing.assert_array_equal(refined.keypoints[0], found.keypoints[0])
    assert (refined.keypoints[1, :, :2] != found.keypoints[1, :, :2]).any()


def test_a_flat_pose_gets_a_box_of_twenty_pixels():
    pose = np.array([[[10.0, 5.0, 1.0], [10.0, 5.0, 0.5]]])
    np.testing.assert_allclose(pose_boxes(pose, 1.2), [[0, -5, 20, 15]])


def test_poses_that_become_duplicates_are_suppressed():
    found = people(3)
    found.keypoints[2, :, :2] = found.keypoints[0, :, :2] + 0.1
    refine = Refiner(PoseStandIn(), refiner_config())
    np.testing.assert_array_equal(refine(found, IMAGE).scores, found.scores[:2])
    assert len(Refiner(PoseStandIn(), refiner_config(nms=None))(found, IMAGE)) == 3


def test_many_poses_go_through_in_batches_and_ids_stay():
    runtime, found = PoseStandIn(), people(CROPS_AT_ONCE + 3, image=IMAGE)
    found.ids = np.arange(len(found))
    refined = Refiner(runtime, refiner_config())(found)
    assert [len(crops) for crops in runtime.crops] == [CROPS_AT_ONCE, 3]
    assert refined.ids is not None
    assert set(refined.ids.tolist()) <= set(range(len(found)))


def test_no_people_stay_none():
    runtime = PoseStandIn()
    assert len(Refiner(runtime, refiner_config())(People.empty(COCO), IMAGE)) == 0
    assert not runtime.crops


def test_other_keypoints_and_missing_images_are_refused():
    refine = Refiner(PoseStandIn(), refiner_config())
    with pytest.raises(EveryposeError, match="refines the keypoints of coco, these people have those of crowdpose"):
        refine(People.empty(Skeleton.named("crowdpose")), IMAGE)
    with pytest.raises(UsageError, match="carry no image"):
        refine(people())


@pytest.mark.parametrize(
    ("output", "words"), [(np.zeros((1, 3, 2)), "belongs to another model"), (np.full((1, 17, 2), np.nan), "damaged")]
)
def test_impossible_output_is_refused(output, words):
    runtime = PoseStandIn()
    runtime.run = lambda *_: output.astype(np.float32)
    with pytest.raises(EveryposeError, match=words):
        Refiner(runtime, refiner_config())(people(1), IMAGE)


def test_an_estimator_with_a_refiner_gives_refined_people(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), IMAGE[..., ::-1])
    refine, found = Refiner(PoseStandIn(), refiner_config()), people()
    estimator = RefiningEstimator(SavedPeople(refiner_config(), {path: found}), refine)
    refined = estimator(path)
    np.testing.assert_allclose(refined.keypoints, refine(found, IMAGE).keypoints)
    assert len(estimator.predict([Photo(IMAGE)])[0]) == 0
    other = SavedPeople(refiner_config().model_copy(update={"skeleton": Skeleton.named("crowdpose")}), {})
    with pytest.raises(UsageError, match="refines the keypoints of coco"):
        RefiningEstimator(other, refine)


def test_a_model_that_finds_people_is_no_refiner():
    with pytest.raises(UsageError, match="boir-lite finds people and refines none"):
        everypose.load_refiner("boir-lite")
