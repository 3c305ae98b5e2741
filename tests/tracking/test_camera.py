import numpy as np
import pytest

from everypose.tracking import camera
from everypose.tracking.camera import CameraMotion


def background(height, width, seed=0):
    """A texture with corners at every scale."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    for block in (32, 16, 8):
        coarse = rng.integers(0, 85, (height // block + 1, width // block + 1, 3), dtype=np.uint8)
        image += np.kron(coarse, np.ones((block, block, 1), np.uint8))[:height, :width]
    return image


@pytest.mark.parametrize("scale", [1, 3])
def test_a_pan_is_found(scale):
    wide = background(300 * scale, 500 * scale)
    camera = CameraMotion()
    size = (240 * scale, 400 * scale)
    camera.update(wide[: size[0], : size[1]], np.zeros((0, 4)))
    moved = camera.update(wide[6 * scale : 6 * scale + size[0], 12 * scale : 12 * scale + size[1]], np.zeros((0, 4)))
    np.testing.assert_allclose(moved[:, :2], np.eye(2), atol=0.005)
    np.testing.assert_allclose(moved[:, 2], [-12 * scale, -6 * scale], atol=0.5 * scale)


def test_people_who_move_are_not_the_camera():
    rng = np.random.default_rng(1)
    first = background(240, 400)
    second = first.copy()
    person = rng.integers(0, 255, (200, 220, 3), dtype=np.uint8)
    first[20:220, 20:240], second[20:220, 30:250] = person, person
    camera = CameraMotion()
    camera.update(first, np.array([[15.0, 15, 245, 225]]))
    moved = camera.update(second, np.array([[25.0, 15, 255, 225]]))
    np.testing.assert_allclose(moved, np.eye(2, 3), atol=0.05)


def test_a_blank_frame_and_a_change_of_size_count_as_still():
    camera = CameraMotion()
    for image in (background(240, 400), np.zeros((240, 400, 3), np.uint8), background(100, 80), background(100, 80)):
        moved = camera.update(image, np.zeros((0, 4)))
        np.testing.assert_allclose(moved, np.eye(2, 3), atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 2), (14, 14)])
def test_frames_too_small_for_corners_count_as_still(size):
    camera = CameraMotion()
    for seed in range(2):
        moved = camera.update(background(*size, seed=seed), np.zeros((0, 4)))
        np.testing.assert_array_equal(moved, np.eye(2, 3))


@pytest.mark.parametrize("far", [1e9, 1e20, 1e38])
def test_corners_in_boxes_of_any_size_are_not_used(far):
    gray = np.random.default_rng(0).integers(0, 255, (96, 128), np.uint8)
    assert camera._background_corners(gray, np.array([[-far, -far, far, far]])) is None
    left = camera._background_corners(gray, np.array([[64.0, -far, far, far]]))
    assert left is not None
    assert left[..., 0].max() < 64
    outside = camera._background_corners(gray, np.array([[2 * far, 0.0, 3 * far, far]]))
    np.testing.assert_array_equal(outside, camera._background_corners(gray, np.zeros((0, 4))))
