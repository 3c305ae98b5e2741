"""Crops against recorded geometry, a literal twin, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.geometry import inverse, transform, xywh_to_xyxy
from everypose.errors import EveryposeError
from everypose.methods.top_down.crops import CropGeometry, clean_boxes, crop_matrix, crop_regions, mpii_regions, warp
from golden_vectors import load

SIZES = {"256x192": (192, 256), "384x288": (288, 384)}


@pytest.mark.parametrize("name", SIZES)
def test_regions_and_matrices_equal_the_release(name):
    golden = load("mipnet/geometry")
    width, height = SIZES[name]
    centers, sizes = crop_regions(xywh_to_xyxy(golden["boxes_xywh"]), 0.75)
    np.testing.assert_allclose(centers, golden[f"{name}/center"], rtol=1e-6)
    np.testing.assert_allclose(sizes, 200 * golden[f"{name}/scale"], rtol=1e-6)
    for i, (center, size) in enumerate(zip(centers, sizes, strict=True)):
        for rotation, suffix in ((golden["rot_deg"][i], "rot"), (0.0, "norot")):
            ours = crop_matrix(center, size, (width, height), rotation)
            theirs = golden[f"{name}/affine_img_to_crop_{suffix}"][i]
            # Theirs goes through three pairs of points in float32.
            np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=1e-6)
            np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-6, atol=5e-5)
        from_heatmap = inverse(crop_matrix(center, size, (width // 4, height // 4)))
        np.testing.assert_allclose(from_heatmap, golden[f"{name}/affine_heatmap_to_img"][i], rtol=1e-6, atol=5e-5)


def test_detections_are_not_clipped_to_the_image():
    golden = load("h_eval_end_to_end")
    people = golden["det/category_id"] == 1
    boxes, scores = xywh_to_xyxy(golden["det/bbox"][people]), golden["det/score"][people]
    for threshold in (0.0, 0.5):
        centers, sizes = crop_regions(boxes[scores >= threshold], 0.75)
        np.testing.assert_allclose(centers, golden[f"det/kept_center_{threshold}"], rtol=1e-6)
        np.testing.assert_allclose(sizes, 200 * golden[f"det/kept_scale_{threshold}"], rtol=1e-6)


@pytest.mark.parametrize("i", [0, 1])
def test_crops_equal_the_release(i):
    golden = load("mipnet/geometry")
    (center,), (size,) = crop_regions(xywh_to_xyxy(golden[f"crop/{i}/box_xywh"][None]), 0.75)
    matrix = crop_matrix(center, size, (96, 128), golden[f"crop/{i}/rot_deg"])
    np.testing.assert_allclose(matrix, golden[f"crop/{i}/matrix"], rtol=1e-6, atol=5e-5)
    crop = warp(golden["crop/image"], matrix, (96, 128))
    assert np.abs(crop.astype(int) - golden[f"crop/{i}/warped_cv2"]).max() <= 2


@pytest.mark.parametrize(("convention", "name"), [("classic", "msra"), ("udp", "udp")])
def test_both_conventions_equal_vitposes(convention, name):
    golden = load("posebh/crops")
    for i, rotation in enumerate(golden["rotation_deg"]):
        matrix = crop_matrix(golden["center"][i], 200 * golden["scale"][i], (192, 256), rotation, convention)
        np.testing.assert_allclose(matrix, golden[f"{name}_matrix"][i], rtol=1e-5, atol=5e-5)
        np.testing.assert_allclose(transform(golden["points_in"], matrix), golden[f"points_{name}"][i], atol=5e-5)
    region = golden["affine_center"], 200 * golden["affine_scale"]
    matrix = crop_matrix(*region, (24, 32), golden["affine_rotation_deg"], convention)
    crop = warp(golden["affine_in_img"], matrix, (24, 32))
    assert np.abs(crop.astype(int) - golden[f"affine_{name}_img"]).max() <= 1
    # The classic release leaves hidden joints where they were; nothing is asked about them.
    seen = golden["affine_in_vis"][:, 0] > 0
    joints = transform(golden["affine_in_joints"][seen, :2], matrix)
    np.testing.assert_allclose(joints, golden[f"affine_{name}_joints"][seen, :2], atol=1e-5)


def literal_region(box, aspect, padding):
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    return ((x1 + x2) / 2, (y1 + y2) / 2), (padding * width, padding * height)


def literal_clean_box(box, image_width, image_height):
    x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
    x1, y1 = max(0, x), max(0, y)
    x2 = min(image_width - 1, x1 + max(0, w - 1))
    y2 = min(image_height - 1, y1 + max(0, h - 1))
    return (x1, y1, x2, y2), x2 >= x1 and y2 >= y1 and (x2 > x1 or y2 > y1)


corner, length = st.floats(-300, 300), st.floats(0, 500)
box_lists = st.lists(st.tuples(corner, corner, length, length), max_size=4)


@given(box_lists, st.floats(0.3, 2), st.floats(1, 2))
def test_regions_equal_their_literal_twin(rows, aspect, padding):
    boxes = xywh_to_xyxy(np.array(rows).reshape(-1, 4))
    centers, sizes = crop_regions(boxes, aspect, padding)
    for box, center, size in zip(boxes, centers, sizes, strict=True):
        their_center, their_size = literal_region(box, aspect, padding)
        np.testing.assert_allclose(center, their_center)
        np.testing.assert_allclose(size, their_size)


@given(box_lists)
def test_cleaned_boxes_equal_their_literal_twin(rows):
    boxes = xywh_to_xyxy(np.array(rows).reshape(-1, 4))
    cleaned, usable = clean_boxes(boxes, (200, 150))
    for box, ours, good in zip(boxes, cleaned, usable, strict=True):
        theirs, their_good = literal_clean_box(box, 200, 150)
        assert tuple(ours) == theirs
        assert good == their_good


def test_boxes_outside_the_image_or_without_area_are_not_usable():
    boxes = [[-50, 10, -20, 40], [10, 10, 40, 40], [300, 10, 340, 40], [20, 20, 20, 20], [5, 5, 6, 60], [9, 9, 10, 10]]
    # The first is moved into the image with its size, as released.
    assert clean_boxes(boxes, (200, 150))[1].tolist() == [True, True, False, False, True, False]


@given(st.floats(20, 400), st.floats(-200, 200), st.sampled_from([(192, 256), (288, 384), (24, 32)]))
def test_the_corners_of_a_region_are_those_of_its_crop(width, x, size):
    center, region = np.array([x, 17.0]), np.array([width, width / 0.75])
    corners = [center - region / 2, center + region / 2]
    classic = transform(corners, crop_matrix(center, region, size))
    udp = transform(corners, crop_matrix(center, region, size, 0.0, "udp"))
    np.testing.assert_allclose(classic, [(0, 0), size], atol=1e-9 * size[0])
    np.testing.assert_allclose(udp, [(0, 0), np.subtract(size, 1)], atol=1e-9 * size[0])


@given(st.floats(-180, 180), st.sampled_from(["classic", "udp"]))
def test_the_center_stays_whatever_the_rotation(rotation, convention):
    center, region = np.array([40.0, 70.0]), np.array([90.0, 120.0])
    middle = {"classic": (96, 128), "udp": (95.5, 127.5)}[convention]
    matrix = crop_matrix(center, region, (192, 256), rotation, convention)
    np.testing.assert_allclose(transform(center, matrix), middle, atol=1e-9)
    right = transform(np.add(center, (1, 0)), matrix) - middle
    down_is_positive = {"classic": -1, "udp": 1}[convention]
    expected = down_is_positive * np.sin(np.deg2rad(rotation))
    if abs(expected) > 1e-8:  # below that the sign is a matter of rounding
        assert np.sign(right[1]) == np.sign(expected)


def test_mpiis_regions_are_squares_below_the_center():
    center, scale = np.array([300.0, 200.0]), 2.5
    half = 200 * scale / 2
    boxes = np.array([[*(center - half), *(center + half)]])
    for geometry_of in (mpii_regions, CropGeometry(rule="mpii").regions):
        centers, sizes = geometry_of(boxes)
        np.testing.assert_allclose(centers, [np.add(center, (0, 15 * scale))])
        np.testing.assert_allclose(sizes, [[200 * scale * 1.25] * 2])


def test_boxes_that_others_draw_are_cut_as_mpiis_squares_of_their_longer_side():
    tall, wide, square = [10, 20, 50, 220], [-60, 100, 140, 140], [-70, 20, 130, 220]
    centers, sizes = mpii_regions([tall, wide, square])
    np.testing.assert_allclose(centers, [(30, 135), (40, 135), (30, 135)])
    np.testing.assert_allclose(sizes, 250)


@pytest.mark.parametrize("size", [(0.0, 0.0), (-3.0, 4.0), (np.nan, 4.0), (np.inf, 4.0)])
def test_a_region_without_extent_is_an_error(size):
    with pytest.raises(EveryposeError, match="cannot be cropped"):
        crop_matrix((10, 10), size, (192, 256))


def test_no_boxes_and_a_box_smaller_than_a_pixel():
    centers, sizes = crop_regions(np.zeros((0, 4)), 0.75)
    assert centers.shape == sizes.shape == (0, 2)
    assert clean_boxes(np.zeros((0, 4)), (10, 10))[0].shape == (0, 4)
    image = np.full((20, 20, 3), 7, np.uint8)
    (center,), (size,) = crop_regions([[5.0, 5.0, 5.1, 5.1]], 0.75)
    assert (warp(image, crop_matrix(center, size, (24, 32)), (24, 32)) == 7).all()


def test_outside_the_image_is_black():
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = warp(image, crop_matrix((100, 100), (30, 40), (24, 32)), (24, 32))
    assert crop.shape == (32, 24, 3)
    assert not crop.any()
