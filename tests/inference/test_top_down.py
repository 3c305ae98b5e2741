from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.errors import EveryposeError
from everypose.inference.box_sources import AnnotatedBoxes
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.top_down import LARGEST_SIDE, TopDownEstimator, cut_crop
from everypose.methods.top_down.crops import crop_matrix, crop_regions, warp
from everypose.skeleton.skeleton import Skeleton
from inference.crop_stand_in import CROP, OFFSETS, SKELETON, CropStandIn, config, paint

RED, BLUE = (240, 0, 0), (0, 0, 240)
EMPTY = np.zeros((0, 4))


class Given:
    """A detector that gives the same boxes for every image, and keeps the photos."""

    def __init__(self, boxes, scores=None):
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self.boxes = Boxes(boxes, np.ones(len(boxes)) if scores is None else np.asarray(scores, np.float64))
        self.photos = []

    def __call__(self, photo):
        self.photos.append(photo)
        return self.boxes


def estimator(boxes, scores=None, instances=2, crops_at_once=16, min_score=None, **inference):
    detector = Given(boxes, scores)
    return TopDownEstimator(
        CropStandIn(instances), config(**inference), detector, min_score, crops_at_once=crops_at_once
    )


def assert_same(first, second):
    np.testing.assert_array_equal(first.keypoints, second.keypoints)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.boxes, second.boxes)


def around(x, y, side=40):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


@pytest.mark.parametrize(("convention", "decoder"), [("classic", "quarter"), ("udp", "udp")])
def test_keypoints_come_back_in_image_pixels(convention, decoder):
    """By hand: with padding 2, the box of 30 x 40 becomes 60 x 80, which fills the crop of 48 x 64."""
    one = estimator([[65, 40, 95, 80]], instances=1, convention=convention, decoder=decoder, padding=2)
    people = one(paint([(80, 60, 9, RED)]))
    (x, y), scale = ((80, 60), 60 / 48) if convention == "classic" else ((80, 60), (60 / 47, 80 / 63))
    np.testing.assert_allclose(people.keypoints[0, :, :2], OFFSETS * scale + (x, y), atol=0.3)
    assert one._crop_runtime.batches[0].shape == (1, 64, 48, 3)


def test_people_carry_the_image_and_what_it_was_cut_by():
    image = paint([(60, 60, 9, RED)])
    people = estimator([around(60, 60)], [0.5])(image)
    assert people.skeleton == SKELETON
    assert people.image is image
    np.testing.assert_allclose(people.boxes[0], around(60, 60))
    np.testing.assert_allclose(people.scores[0], 0.5 * 240 / 255, rtol=1e-6)


def test_a_second_person_in_a_box_comes_out_with_half_the_score_and_an_own_box():
    people = estimator([around(60, 60)], [0.8])(paint([(55, 55, 9, RED), (70, 65, 9, BLUE)]))
    np.testing.assert_allclose(people.scores, np.array([0.8, 0.4]) * 240 / 255, rtol=1e-6)
    np.testing.assert_allclose(people.keypoints[:, :, :2].mean(axis=1), [(55, 55), (70, 65)], atol=0.5)
    np.testing.assert_allclose(people.boxes[0], around(60, 60))
    x, y = people.keypoints[1, :, 0], people.keypoints[1, :, 1]
    np.testing.assert_allclose(people.boxes[1], [x.min(), y.min(), x.max(), y.max()])


def test_a_second_person_who_repeats_the_first_goes():
    both = (240, 0, 240)
    image = paint([(60, 60, 9, both)])
    assert len(estimator([around(60, 60)])(image)) == 1
    assert len(estimator([around(60, 60)], nms=None)(image)) == 2


def test_by_the_soft_rule_the_repeated_person_stays_behind_the_others():
    both = (240, 0, 240)
    image = paint([(30, 60, 9, both), (90, 60, 9, RED)])
    people = estimator([around(30, 60), around(90, 60)], instances=2, decay=1.0, soft_nms=True)(image)
    hard = estimator([around(30, 60), around(90, 60)], instances=2, decay=1.0)(image)
    assert len(hard) < len(people) <= 4


def test_one_person_in_two_boxes_is_one_and_the_better_box_counts():
    people = estimator([around(60, 60), around(61, 60)], [0.6, 0.9], instances=1)(paint([(60, 60, 9, RED)]))
    np.testing.assert_allclose(people.scores, [0.9 * 240 / 255], rtol=1e-6)
    np.testing.assert_allclose(people.boxes, [around(61, 60)])


def test_three_people_in_one_box_give_as_many_as_the_model_asks_for():
    image = paint([(50, 50, 9, RED), (60, 60, 9, RED), (72, 66, 9, BLUE)])
    for instances in (1, 2):
        assert len(estimator([around(60, 60)], instances=instances)(image)) == instances


@pytest.mark.parametrize("nms", [0.9, None])
def test_people_come_by_falling_score_and_low_ones_are_left_out(nms):
    image = paint([(30, 60, 9, RED), (90, 60, 9, RED), (150, 60, 9, RED)])
    boxes, scores = [around(30, 60), around(90, 60), around(150, 60)], [0.3, 0.9, 0.6]
    people = estimator(boxes, scores, instances=1, nms=nms)(image)
    np.testing.assert_allclose(people.keypoints[:, :, 0].mean(axis=1), [90, 150, 30], atol=0.5)
    assert len(estimator(boxes, scores, instances=1, nms=nms, min_score=0.5)(image)) == 2


def test_nobody_is_empty_people_and_the_network_is_not_asked():
    one = estimator(EMPTY)
    people = one(paint([]))
    assert (len(people), people.keypoints.shape, people.boxes.shape) == (0, (0, 17, 3), (0, 4))
    assert people.image is not None
    assert one._crop_runtime.batches == []
    assert one([]) == []


@pytest.mark.parametrize(
    "box",
    [
        [50, 50, 50, 90],  # no width
        [50, 50, 90, 50],  # no height
        [90, 50, 50, 90],  # right before left
        [-50, 20, 0, 60],  # left of the image
        [200, 20, 240, 60],  # right of it
        [20, -40, 60, -1],  # above
        [20, 150, 60, 190],  # below
        [50, 50, 50.3, 50.4],  # the crop is less than a pixel
    ],
    ids=str,
)
def test_boxes_that_cannot_be_cropped_are_left_out_and_counted(box):
    one = estimator([box, around(60, 60)])
    assert_same(one(paint([(60, 60, 9, RED)])), estimator([around(60, 60)])(paint([(60, 60, 9, RED)])))
    assert one.dropped == 1
    only = estimator([box])
    assert len(only(paint([(60, 60, 9, RED)]))) == 0
    assert (only.dropped, only._crop_runtime.batches) == (1, [])


@pytest.mark.parametrize(
    ("crop", "expected"),
    # By the authors' rule the last corner is at x + width - 1, and the corner at 0 first moves the box.
    [("box", [[0, 30, 99, 109], [150, 40, 199, 99]]), ("mpii", [[-10, 30, 90, 110], [150, 40, 250, 100]])],
)
def test_annotated_boxes_are_clipped_but_for_mpiis_squares(crop, expected):
    path = Path("a.png")
    truth = AnnotatedBoxes({path: np.array([[-10.0, 30, 90, 110], [150, 40, 250, 100]])})
    one = TopDownEstimator(CropStandIn(1), config(crop=crop, nms=None), truth, min_score=0)
    (found,) = one.poses([Photo(paint([(60, 60, 9, RED)]), path)])
    np.testing.assert_array_equal(found.boxes.boxes, expected)


@pytest.mark.parametrize("middle", [(3, 60), (60, 2), (197, 60), (60, 148)], ids=str)
def test_boxes_partly_outside_the_image_are_not_clipped(middle):
    people = estimator([around(*middle)], instances=1)(paint([(*middle, 3, RED)]))
    np.testing.assert_allclose(people.keypoints[0, :, :2].mean(axis=0), middle, atol=0.6)
    np.testing.assert_allclose(people.boxes[0], around(*middle))


def test_a_box_larger_than_the_image_and_one_of_a_pixel_work():
    people = estimator([[-1e6, -1e6, 1e6, 1e6], [60, 60, 61, 61]], instances=1)(paint([(60, 60, 9, RED)]))
    assert np.isfinite(people.keypoints).all()


def random_scene(seed, count=6):
    rng = np.random.default_rng(seed)
    spots = [(int(x), int(y), 9, RED if rng.random() < 0.5 else BLUE) for x, y in rng.uniform(5, 145, (count, 2))]
    boxes = np.array([around(x, y, side) for (x, y, *_), side in zip(spots, rng.uniform(20, 80, count), strict=True)])
    return paint(spots), boxes + rng.normal(0, 2, boxes.shape), rng.uniform(0.1, 1, count)


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_permuting_boxes_permutes_nothing_but_ties(seed, random):
    image, boxes, scores = random_scene(seed)
    order = np.array(random.sample(range(len(boxes)), len(boxes)))
    # Nobody is suppressed: of two who score the same, the order would choose.
    first = estimator(boxes, scores, nms=None)(image)
    second = estimator(boxes[order], scores[order], nms=None)(image)
    # Boxes that show one color twice may score the same: compare as sets.
    for people in (first, second):
        assert (np.diff(people.scores) <= 0).all()
    assert sorted(map(bytes, first.keypoints)) == sorted(map(bytes, second.keypoints))


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_batch_equals_its_images_one_by_one(seed, crops_at_once):
    scenes = [random_scene(seed + number, count) for number, count in enumerate([3, 0, 5, 1])]
    found = {id(image): Boxes(boxes.reshape(-1, 4), scores) for image, boxes, scores in scenes}
    together: Any = TopDownEstimator(
        CropStandIn(), config(), lambda photo: found[id(photo.image)], crops_at_once=crops_at_once
    )
    for people, (image, boxes, scores) in zip(together([image for image, _, _ in scenes]), scenes, strict=True):
        assert_same(people, estimator(boxes, scores)(image))
    sizes = [len(batch) for batch in together._crop_runtime.batches]
    assert sum(sizes) == 9
    assert all(size == crops_at_once for size in sizes[:-1])


def test_the_detector_sees_the_image_and_its_path(tmp_path):
    import cv2

    image = paint([(60, 60, 9, RED)])
    path = tmp_path / "a7.png"
    assert cv2.imwrite(str(path), image[..., ::-1])
    one = estimator([around(60, 60)])
    one([str(path), path, image])
    assert [photo.path for photo in one.detector.photos] == [path, path, None]
    assert isinstance(one.detector.photos[0], Photo)
    np.testing.assert_array_equal(one.detector.photos[0].image, image)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        (np.zeros((1, 2, 14, 3)), "its skeleton coco has 17 keypoints"),
        (np.zeros((1, 17, 3)), "its skeleton coco has 17 keypoints"),
        (np.zeros((2, 2, 17, 3)), "for 1 crops"),
        (np.full((1, 2, 17, 3), np.nan), "not finite"),
        (np.zeros((1, 8193, 17, 3)), "8,193 people in each crop: it is damaged"),
    ],
    ids=["skeleton", "rank", "count", "nan", "people"],
)
def test_output_of_a_wrong_or_damaged_model_is_refused(keypoints, message):
    one = estimator([around(60, 60)])
    one._crop_runtime.run = lambda *_: keypoints.astype(np.float32)
    with pytest.raises(EveryposeError, match=message):
        one(paint([]))


def test_a_skeleton_without_sigmas_needs_no_suppression():
    unknown = Skeleton.from_dict(SKELETON.to_dict() | {"sigmas": None})
    for nms in (0.9, None):
        settings = config(nms=nms).model_copy(update={"skeleton": unknown})
        if nms is None:
            assert TopDownEstimator(CropStandIn(), settings, Given(EMPTY)).skeleton.sigmas is None
        else:
            with pytest.raises(EveryposeError, match="sigmas"):
                TopDownEstimator(CropStandIn(), settings, Given(EMPTY))


def test_an_array_that_is_no_image_is_refused():
    with pytest.raises(EveryposeError, match=r"\(height, width, 3\) uint8 RGB"):
        estimator(EMPTY)(np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize("shape", [(60, 40_000), (40_000, 60)], ids=str)
def test_an_image_too_long_for_opencv_is_cut_first(shape, monkeypatch):
    image = np.zeros((*shape, 3), np.uint8)
    x, y = (30_000, 30) if shape[0] < shape[1] else (30, 30_000)
    image[y - 4 : y + 5, x - 4 : x + 5] = RED
    seen = []

    def small_enough(part, *arguments):
        seen.append(max(part.shape))
        return warp(part, *arguments)

    monkeypatch.setattr("everypose.inference.top_down.warp", small_enough)
    people = estimator([around(x, y), [0, 0, *shape[::-1]]], instances=1)(image)
    assert max(seen) <= LARGEST_SIDE
    np.testing.assert_allclose(people.keypoints[0, :, :2].mean(axis=0), (x, y), atol=0.5)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_cutting_first_changes_no_pixel(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (90, 120, 3), np.uint8)
    center, size = (each[0] for each in crop_regions([[*rng.uniform(-20, 60, 2), 90, 80]], 0.75))
    matrix = crop_matrix(center, size, CROP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("everypose.inference.top_down.LARGEST_SIDE", 119)
        cut = cut_crop(image, matrix, CROP)
    assert np.abs(cut.astype(int) - warp(image, matrix, CROP)).max() <= 1
