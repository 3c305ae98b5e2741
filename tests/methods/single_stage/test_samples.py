from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.methods.single_stage.augmentation import ImageDraws, draw, region_matrix
from everypose.methods.single_stage.samples import STRIDE, collate, gaussian_radius, make_sample, training_scenes
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from methods.single_stage.literal_samples import literal_heatmaps, literal_people, literal_radius
from methods.single_stage.made import COCO, make_scene, random_image, random_scene

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "samples.npz")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_golden_samples(number: int) -> None:
    """Whole samples of the released training code, from its recorded draws."""
    golden = {key.split("/")[1]: GOLDEN[key] for key in GOLDEN.files if key.startswith(f"sample{number}/")}
    boxes = GOLDEN["sample/bbox_xywh"].copy()
    boxes[:, 2:] += boxes[:, :2]
    polygons = [[polygon.astype(float).tolist()] for polygon in GOLDEN["sample/polygon"]]
    scene = make_scene(GOLDEN["sample/keypoints"], boxes, 200, 150, segmentations=polygons)
    image = GOLDEN["sample/image_bgr"][:, :, ::-1]
    scale, rotation, dx, dy, flip = golden["draws_scale_rot_dx_dy_flip"]
    draws = ImageDraws(
        scale=0.75 + 0.75 * scale,
        rotation=60 * rotation - 30,
        dx=int(dx),
        dy=int(dy),
        flip=bool(flip < 0.5),
        jitter=golden["jitter_draws"].reshape(-1, 2),
    )

    sample = make_sample(scene, image, COCO, ImageSampleSettings(size=128), draws=draws)

    assert np.abs(sample.image.astype(int) - golden["image"]).max() <= 2
    np.testing.assert_array_equal(sample.loss_mask, golden["multi_mask"][0] > 0)
    np.testing.assert_array_equal(sample.instance_yx, golden["instance_coord"])
    np.testing.assert_allclose(sample.instance_boxes, golden["bbox"], rtol=0, atol=2e-6)
    labeled = sample.keypoints[sample.instance_person, :, 2] > 0
    np.testing.assert_array_equal(labeled, golden["instance_mask"][:, :, 0, 0] > 0)
    multi, single = literal_heatmaps(sample)
    np.testing.assert_allclose(multi, golden["multi_heatmap"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(single, golden["instance_heatmap"], rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1024.0]))
def test_sample_equals_literal(seed: int, minimum_area: float) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, people=int(rng.integers(0, 12)))
    draws = draw(rng, ImageAugmentation(), scene)
    sample = make_sample(
        scene, random_image(rng, scene), COCO, ImageSampleSettings(size=64, minimum_area=minimum_area), draws=draws
    )
    expected = literal_people(scene, 64, draws, minimum_area)
    people, instances = expected["people"], expected["instances"]

    assert len(sample.radius) == len(people)
    for index, person in enumerate(people):
        np.testing.assert_allclose(sample.keypoints[index], person["keypoints"], atol=1e-4)
        inside = np.abs(person["keypoints"]) < 1e6
        np.testing.assert_array_equal(np.trunc(sample.keypoints[index])[inside], np.trunc(person["keypoints"])[inside])
        np.testing.assert_allclose(sample.center[index], person["center"], atol=1e-4)
        assert sample.radius[index] == person["radius"]
        assert sample.center_drawn[index] == (person["area"] >= minimum_area)
    assert sample.instance_person.tolist() == [number for number, _, _ in instances]
    assert sample.instance_yx.tolist() == [list(pixel) for _, pixel, _ in instances]
    np.testing.assert_allclose(sample.instance_boxes, np.reshape([box for _, _, box in instances], (-1, 4)), atol=1e-4)


@given(st.lists(st.tuples(*[st.floats(-50, 100)] * 4), min_size=1, max_size=5))
def test_radius_equals_literal(boxes: list[tuple[float, float, float, float]]) -> None:
    corners = np.array([[(a, b), (c, b), (a, d), (c, d)] for a, b, c, d in boxes])
    radius = gaussian_radius(corners, 32)
    assert radius.tolist() == [literal_radius(four.tolist(), 32) for four in corners]


def test_no_draws_are_the_plain_map() -> None:
    """A square image of the input's size: the image stays as it is, keypoints shrink four times."""
    rng = np.random.default_rng(1)
    scene = random_scene(rng, 6, width=64, height=64)
    image = random_image(rng, scene)
    sample = make_sample(scene, image, COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    np.testing.assert_array_equal(sample.image, image)
    kept = scene.keypoints[scene.is_labeled_person]
    np.testing.assert_allclose(sample.keypoints[:, :, :2], kept[:, :, :2] / 4, atol=1e-5)
    np.testing.assert_array_equal(sample.keypoints[:, :, 2], kept[:, :, 2])


@pytest.mark.parametrize("flip", [False, True])
def test_image_is_the_plain_warp(flip: bool) -> None:
    """By way of four channels, and yet to the bit what OpenCV makes of three."""
    rng = np.random.default_rng(3)
    scene = random_scene(rng, 3)
    image = random_image(rng, scene)
    draws = replace(draw(rng, ImageAugmentation(), scene), flip=flip)
    warped = cv2.warpAffine(image, region_matrix(scene.height, scene.width, 64, draws), (64, 64))
    sample = make_sample(scene, image, COCO, ImageSampleSettings(size=64), draws=draws)
    np.testing.assert_array_equal(sample.image, warped[:, ::-1] if flip else warped)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_exact_flip_puts_targets_where_the_mirrored_image_has_them(seed: int) -> None:
    """What was at x of S pixels is at S - 1 - x; the released code has it three pixels further left."""
    rng, size = np.random.default_rng(seed), 64
    scene = random_scene(rng, 3)
    image = random_image(rng, scene)
    draws = replace(draw(rng, ImageAugmentation(), scene), flip=False)
    straight = make_sample(scene, image, COCO, ImageSampleSettings(size=size, minimum_area=0.0), draws=draws)
    draws = replace(draws, flip=True)
    exact = make_sample(
        scene, image, COCO, ImageSampleSettings(size=size, minimum_area=0.0, exact_flip=True), draws=draws
    )
    released = make_sample(scene, image, COCO, ImageSampleSettings(size=size, minimum_area=0.0), draws=draws)
    swapped = straight.keypoints[:, COCO.flip_index]
    np.testing.assert_allclose(STRIDE * exact.keypoints[..., 0], size - 1 - STRIDE * swapped[..., 0], atol=1e-3)
    np.testing.assert_allclose(STRIDE * (exact.keypoints - released.keypoints)[..., 0], 3, atol=1e-3)
    np.testing.assert_array_equal(exact.keypoints[..., 1:], swapped[..., 1:])
    np.testing.assert_allclose(STRIDE * exact.center[:, 0], size - 1 - STRIDE * straight.center[:, 0], atol=1e-3)
    np.testing.assert_allclose(exact.center[:, 1], straight.center[:, 1], atol=1e-3)
    np.testing.assert_array_equal(exact.image, released.image)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4]))
def test_a_reduced_image_lies_where_the_whole_one_does(seed: int, reduction: int) -> None:
    """A picture without detail: of that, both show the same."""
    rng, size = np.random.default_rng(seed), 64 // reduction
    scene = random_scene(rng, 3)
    y, x = np.mgrid[: scene.height, : scene.width]
    whole = np.dstack([1.5 * x, 2 * y, 255 - x - y / 2])
    squares = whole.reshape(scene.height // reduction, reduction, scene.width // reduction, reduction, 3)
    image, reduced = (pixels.round().astype(np.uint8) for pixels in (whole, squares.mean(axis=(1, 3))))
    draws = draw(rng, ImageAugmentation(), scene)
    settings = ImageSampleSettings().model_copy(update={"size": size})
    expected = make_sample(scene, image, COCO, settings, draws=draws)
    sample = make_sample(scene, reduced, COCO, settings, draws=draws, reduction=reduction)
    # At the border, one pixel of either image is blended with the black outside.
    matrix = region_matrix(scene.height, scene.width, size, draws)
    inside = cv2.warpAffine(np.ones((scene.height, scene.width), np.uint8), matrix, (size, size))
    inside = cv2.erode(inside[:, ::-1] if draws.flip else inside, np.ones((5, 5), np.uint8), borderValue=0) > 0
    assert inside.any()
    assert np.abs(sample.image[inside].astype(int) - expected.image[inside]).max() <= 3
    for name in ("loss_mask", "keypoints", "radius", "center", "instance_person", "instance_yx", "instance_boxes"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(expected, name))


def flipped(scene: Scene) -> Scene:
    """The scene of a mirrored image whose flip gives the first's targets back: x -> W - 4 - x (3/4 output pixel)."""
    keypoints = scene.keypoints[:, COCO.flip_index].copy()
    keypoints[:, :, 0] = scene.width - 4 - keypoints[:, :, 0]
    boxes = scene.boxes.copy()
    boxes[:, [0, 2]] = scene.width - 4 - boxes[:, [2, 0]]
    return replace(scene, keypoints=keypoints, boxes=boxes)


def test_flipping_twice_is_nothing() -> None:
    rng = np.random.default_rng(2)
    scene = random_scene(rng, 8, width=64, height=64)
    image = random_image(rng, scene)
    plain = make_sample(scene, image, COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    twice = make_sample(flipped(scene), image[:, ::-1], COCO, ImageSampleSettings(size=64), draws=ImageDraws(flip=True))
    np.testing.assert_array_equal(twice.image, plain.image)
    np.testing.assert_allclose(twice.keypoints, plain.keypoints, atol=1e-5)
    np.testing.assert_array_equal(twice.instance_person, plain.instance_person)
    np.testing.assert_allclose(twice.instance_boxes, plain.instance_boxes, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_annotations_changes_only_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, 7)
    image = random_image(rng, scene)
    order = rng.permutation(7)
    shuffled = replace(
        scene,
        **{name: getattr(scene, name)[order] for name in ("annotation_ids", "keypoints", "boxes", "areas", "is_crowd")},
    )
    draws = draw(rng, ImageAugmentation(), scene)
    first = make_sample(scene, image, COCO, ImageSampleSettings(size=64), draws=draws)
    second = make_sample(shuffled, image, COCO, ImageSampleSettings(size=64), draws=draws)
    np.testing.assert_array_equal(first.loss_mask, second.loss_mask)
    np.testing.assert_array_equal(first.instance_yx, second.instance_yx)
    np.testing.assert_array_equal(first.keypoints[first.instance_person], second.keypoints[second.instance_person])
    assert sorted(first.radius) == sorted(second.radius)


def test_people_outside_the_map_are_no_instances() -> None:
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = (300, 300, 2)
    scene = make_scene(keypoints, [[250, 250, 400, 400]], 64, 64)
    sample = make_sample(scene, np.zeros((64, 64, 3), np.uint8), COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    assert len(sample.radius) == 1
    assert sample.keypoints[0, 0, 2] == 2  # its keypoint mask stays
    assert len(sample.instance_person) == 0
    assert not literal_heatmaps(sample)[0].any()


def test_no_people_at_all() -> None:
    scene = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 50, 40)
    sample = make_sample(scene, np.zeros((40, 50, 3), np.uint8), COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    assert sample.keypoints.shape == (0, 17, 3)
    assert sample.instance_boxes.shape == (0, 4)
    batch = collate([sample, sample], np.random.default_rng(0))
    assert batch.instance_yx.shape == (0, 2)
    assert batch.most_instances == 0


def test_integer_part_survives_single_precision() -> None:
    """100 - 1e-9 is 100 in float32, where a peak would be drawn one pixel off."""
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = (4 * (10 - 1e-9), 4 * (3 - 1e-9), 2)
    scene = make_scene(keypoints, [[0, 0, 60, 60]], 64, 64)
    sample = make_sample(scene, np.zeros((64, 64, 3), np.uint8), COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    assert sample.keypoints.dtype == sample.center.dtype == np.float32
    assert np.trunc(sample.keypoints[0, 0]).tolist() == [9, 2, 2]
    assert sample.instance_yx.tolist() == [[2, 9]]


def test_wrong_size_is_an_error() -> None:
    scene = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 50, 40)
    with pytest.raises(EveryposeError, match=r"photo\.jpg is 40 x 50 pixels, but its annotations are for 50 x 40"):
        make_sample(scene, np.zeros((50, 40, 3), np.uint8), COCO, ImageSampleSettings(size=64), draws=ImageDraws())
    with pytest.raises(EveryposeError, match=r"is 100 x 80 pixels, but its annotations are for 50 x 40"):
        make_sample(
            scene, np.zeros((40, 50, 3), np.uint8), COCO, ImageSampleSettings(size=64), draws=ImageDraws(), reduction=2
        )


def test_training_scenes() -> None:
    keypoints = np.zeros((1, 17, 3))
    nobody = make_scene(np.zeros((0, 17, 3)), np.zeros((0, 4)), 9, 9)
    unlabeled = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9)
    keypoints = keypoints.copy()
    keypoints[0, 3, 2] = 1
    labeled = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9)
    crowd = make_scene(keypoints, [[0, 0, 5, 5]], 9, 9, is_crowd=[True])
    scenes = SceneSet([nobody, unlabeled, labeled, crowd], COCO, "set")
    assert training_scenes(scenes) == [labeled]
    assert training_scenes(scenes, need_keypoints=False) == [unlabeled, labeled, crowd]
