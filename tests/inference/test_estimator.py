import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.core import geometry
from everypose.errors import EveryposeError
from everypose.inference.resize import fit, resize
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.people import People
from inference.stand_in import OFFSETS, SKELETON, StandIn, config, crowd, people_of


def estimator(batch_size=8, **settings):
    return SingleStageEstimator(StandIn(), ModelConfig.model_validate(config(**settings)), batch_size=batch_size)


def assert_same(first: People, second: People):
    np.testing.assert_array_equal(first.keypoints, second.keypoints)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_people_come_back_in_image_pixels_by_falling_score():
    image = crowd([(0, 0, 100), (1, 1, 200)])
    people = estimator()(image)
    assert people.skeleton == SKELETON
    assert people.image is image
    np.testing.assert_allclose(people.scores, [200 / 255, 100 / 255], rtol=1e-6)
    np.testing.assert_allclose(people.keypoints[0, :, :2], OFFSETS + 47.5, atol=1e-4)
    np.testing.assert_allclose(people.keypoints[1, :, :2], OFFSETS + 15.5, atol=1e-4)


@pytest.mark.parametrize("shape", [(128, 256), (50, 90), (300, 210), (64, 500)])
def test_coordinates_follow_the_resizing(shape):
    """The literal way: warp with the specification's matrix, decode, and undo the matrix point by point."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (6, 9, 3), np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    (width, height), matrix = geometry.fit_short_side(geometry.Size(shape[1], shape[0]), 64, 64)
    keypoints, scores = people_of(cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR))
    order = np.argsort(-scores, kind="stable")
    assert len(order) > 0
    people = estimator()(image)
    expected = [[(np.array([x, y]) - matrix[:, 2]) / matrix[0, 0] for x, y, _ in keypoints[index]] for index in order]
    np.testing.assert_allclose(people.keypoints[..., :2], expected, atol=1e-3)


def test_nobody_is_empty_people_and_not_a_ghost():
    people = estimator()(crowd([]))
    assert len(people) == 0
    assert people.keypoints.shape == (0, 17, 3)
    assert people.to_coco(image_id=1) == []


def test_a_batch_equals_its_images_one_by_one_in_order():
    rng = np.random.default_rng(1)
    images = [
        cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), size, interpolation=cv2.INTER_NEAREST)
        for size in [(64, 64), (100, 64), (64, 64), (64, 100), (80, 80), (64, 64)]
    ]
    together = estimator()
    people = together(images)
    assert [shape[0] for shape in together._runtime.batches] == [4, 1, 1]
    assert sum(len(each) for each in people) > 4
    for each, image in zip(people, images, strict=True):
        assert_same(each, estimator()(image))


def test_at_most_batch_size_images_go_together():
    one = estimator(batch_size=2)
    one([crowd([])] * 5)
    assert [shape[0] for shape in one._runtime.batches] == [2, 2, 1]


def test_fewer_long_images_go_together():
    one = estimator(batch_size=8)
    one([crowd([], 64, 256)] * 8 + [crowd([], 64, 512)] * 3)
    assert one._runtime.batches == [(4, 64, 256, 3)] * 2 + [(2, 64, 512, 3), (1, 64, 512, 3)]


def test_no_image_gives_an_empty_list():
    assert estimator()([]) == []


def test_paths_and_arrays_mix(tmp_path):
    image = crowd([(1, 0, 255)])
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image[..., ::-1])
    people = estimator()([str(path), image, path])
    assert_same(people[0], people[1])
    assert_same(people[2], people[1])
    assert_same(estimator()(path), people[1])


def test_low_scores_are_left_out():
    image = crowd([(0, 0, 100), (1, 1, 200)])
    assert len(estimator(min_score=0.5)(image)) == 1
    assert (
        len(SingleStageEstimator(StandIn(), ModelConfig.model_validate(config(min_score=0.5)), min_score=0.1)(image))
        == 2
    )


def fixed(keypoints, scores, index=None):
    """A runtime that gives these people."""
    index = np.zeros(len(scores), np.int64) if index is None else index
    return SimpleNamespace(run=lambda *_: (np.asarray(keypoints, np.float32), np.asarray(scores, np.float32), index))


def test_one_person_found_twice_is_reported_once():
    pose = np.column_stack([OFFSETS * 2 + 32, np.ones(17)])
    right = np.array([1, 0, 0])
    runtime = fixed([pose, pose + 0.5 * right, pose + 40 * right], [0.5, 0.9, 0.4])
    people = SingleStageEstimator(runtime, ModelConfig.model_validate(config()))(crowd([]))
    np.testing.assert_allclose(people.scores, [0.9, 0.4], rtol=1e-6)


def test_people_of_different_images_do_not_suppress_one_another():
    pose = np.column_stack([OFFSETS + 32, np.ones(17)])
    runtime = fixed([pose, pose], [0.5, 0.9], np.array([0, 1]))
    people = SingleStageEstimator(runtime, ModelConfig.model_validate(config()), batch_size=2)([crowd([]), crowd([])])
    assert [len(each) for each in people] == [1, 1]


@pytest.mark.parametrize("index", [1, 7, -1])
def test_people_of_an_image_that_was_not_given_are_refused(index):
    runtime = fixed(np.zeros((1, 17, 3)), [1.0], np.array([index]))
    with pytest.raises(EveryposeError, match="images that it did not get"):
        SingleStageEstimator(runtime, ModelConfig.model_validate(config()))(crowd([]))


@pytest.mark.parametrize(
    ("keypoints", "scores", "message"),
    [
        (np.zeros((1, 14, 3)), [1], "its skeleton coco has 17 keypoints"),
        (np.full((1, 17, 3), np.nan), [1], "not finite"),
        (np.zeros((1, 17, 3)), [np.inf], "not finite"),
    ],
)
def test_output_of_a_wrong_or_damaged_model_is_refused(keypoints, scores, message):
    with pytest.raises(EveryposeError, match=message):
        SingleStageEstimator(fixed(keypoints, scores), ModelConfig.model_validate(config()))(crowd([]))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_that_is_no_image_is_refused(array):
    with pytest.raises(EveryposeError, match=r"\(height, width, 3\) uint8 RGB"):
        estimator()(array)


def write(path, image, *options):
    assert cv2.imwrite(str(path), image, *options)
    return path


@pytest.mark.parametrize("kind", ["gray", "rgba", "16 bit"])
def test_kinds_of_image_files(tmp_path, kind):
    image = crowd([(0, 0, 255), (0, 1, 255)])[..., ::-1]
    path = tmp_path / "a.png"
    if kind == "gray":
        write(path, np.full((64, 64), 200, np.uint8))
        assert len(estimator()(path)) == 4  # gray 200 is red 200
    elif kind == "rgba":
        write(path, np.dstack([image, np.full((64, 64), 255, np.uint8)]))
        assert len(estimator()(path)) == 2
    else:
        write(path, image.astype(np.uint16) * 257)
        assert len(estimator()(path)) == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 not really", b"hello, I am text\n"])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(EveryposeError, match=r"broken\.jpg"):
        estimator()(path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3), (64, 40_000), (33_000, 33)], ids=str)
def test_odd_shapes_work_in_bounded_memory(shape):
    one = estimator()
    people = one(np.full((*shape, 3), 255, np.uint8))
    (batch,) = one._runtime.batches
    assert batch[1] % 64 == batch[2] % 64 == 0
    assert batch[1] * batch[2] <= 8 * 64**2 * 2
    assert np.isfinite(people.keypoints).all()


def test_a_very_large_image_costs_no_more_than_itself():
    image = np.zeros((9000, 12000, 3), np.uint8)
    tracemalloc.start()
    canvas, _ = resize(image, 512, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert canvas.shape == (512, 704, 3)
    assert peak < 20e6


def test_a_long_image_keeps_its_people_where_they_are():
    """A picture too long for OpenCV to warp: blobs found on the canvas come back to where they were drawn."""
    image = np.zeros((60, 40_000, 3), np.uint8)
    image[:, 30_000:30_100] = 255
    canvas, matrix = resize(image, 512, 64)
    columns = np.flatnonzero(canvas.max(axis=(0, 2)) > 100)
    middle = geometry.transform(np.array([[columns.mean(), 0.0]]), geometry.inverse(matrix))[0, 0]
    assert middle == pytest.approx(30_049.5, abs=2)


@given(
    st.integers(1, 40_000), st.integers(1, 40_000), st.sampled_from([64, 256, 512, 640]), st.sampled_from([16, 32, 64])
)
@settings(max_examples=200, deadline=None)
def test_fit_is_the_specification_up_to_eight_to_one_and_bounded_beyond(height, width, size, step):
    canvas, matrix = fit(geometry.Size(width, height), size, step)
    expected, expected_matrix = geometry.fit_short_side(geometry.Size(width, height), size, step)
    if max(expected) <= 8 * size:
        assert canvas == expected
        np.testing.assert_array_equal(matrix, expected_matrix)
    assert canvas[0] * canvas[1] <= 8 * size**2
    assert max(canvas) < 32_767
    assert canvas[0] % step == canvas[1] % step == 0
    assert min(canvas) >= 64
    # All of the image is on the canvas, up to the rounding of its middle to a whole pixel.
    corners = geometry.transform(np.array([[0, 0], [width - 1, height - 1]]), matrix)
    slack = matrix[0, 0] + 1
    assert corners.min() >= -slack
    assert (corners <= np.array(canvas) + slack).all()
