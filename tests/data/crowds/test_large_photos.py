"""Large photos: parts and bands give what the whole photo gives, in little memory."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.crowds import compose as composing
from everypose.data.crowds import cutouts as cutting
from everypose.data.crowds.compose import Settings, compose
from everypose.data.crowds.cutouts import cut_out, largest_component, occupied, row_bands
from everypose.data.crowds.light import blended, relit
from everypose.data.crowds.regions import Region, hide_covered, outlines
from painted_people import COCO, painted_scene

PEOPLE = [(80, 20, 180), (230, 60, 150)]


@pytest.fixture
def thin_bands(monkeypatch):
    monkeypatch.setattr(cutting, "BAND_PIXELS", 4000)


def on_canvas(mask, corner, shape):
    """A region's mask as one of the whole photo."""
    whole = np.zeros(shape, bool)
    left, top = corner
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return whole


def literal_alpha(mask, deviation):
    """The soft edge, computed on the whole photo at once."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(np.float32)
    return (1.6 * cv2.GaussianBlur(inner, (0, 0), deviation) - 0.3).clip(0, 1)


@pytest.mark.usefixtures("thin_bands")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("deviation", [0.7, 3.1])
def test_soft_edges_in_bands_equal_those_of_the_whole_photo(seed, deviation):
    rng = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(rng.random((211, 317)), (0, 0), 5) > 0.5
    mask[: 40 * seed, :] = False
    mask[:, 300 - 50 * seed :] = False
    rows, columns = occupied(mask)
    alpha = cutting._soft_edged(mask, rows, columns, deviation)
    assert alpha.tobytes() == literal_alpha(mask, deviation)[rows, columns].tobytes()


def test_people_of_bands_equal_those_of_whole_photos(monkeypatch):
    image, scene = painted_scene(1, PEOPLE)
    whole = [cut_out(image, scene, person, COCO) for person in range(2)]
    composed, labels = compose(np.random.default_rng(3), scene, image, whole[:1] * 2, Settings(), COCO)
    monkeypatch.setattr(cutting, "BAND_PIXELS", 4000)
    banded = [cut_out(image, scene, person, COCO) for person in range(2)]
    for one, other in zip(whole, banded, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
        assert one.alpha.tobytes() == other.alpha.tobytes()
    again, labels_again = compose(np.random.default_rng(3), scene, image, banded[:1] * 2, Settings(), COCO)
    assert composed.tobytes() == again.tobytes()
    assert labels.segmentations == labels_again.segmentations


def test_the_largest_component_is_that_of_the_whole_photo():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 2) > 0.5
        mask[:, :30] = mask[50:] = False
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        assert np.array_equal(largest_component(mask), labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())
    assert not largest_component(np.zeros((4, 5), bool)).any()


@given(seed=st.integers(0, 10_000), reach=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_keypoints_near_a_mask_are_those_in_the_dilated_mask(seed, reach):
    rng = np.random.default_rng(seed)
    mask = rng.random((16, 20)) < 0.05
    keypoints = np.column_stack([rng.uniform(-5, 25, (17, 2)), rng.integers(0, 3, 17)])
    dilated = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    assert np.array_equal(cutting._covered(mask, keypoints, reach), cutting._covered(dilated, keypoints))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_regions_equal_masks_of_the_whole_photo(seed):
    rng = np.random.default_rng(seed)
    shape = 24, 30
    corners = [(int(rng.integers(0, 20)), int(rng.integers(0, 15))) for _ in range(2)]
    regions = [Region(top, left, rng.random(rng.integers(1, 10, 2)) < 0.6) for left, top in corners]
    own, front = (on_canvas(region.mask, (region.left, region.top), shape) for region in regions)
    left = regions[0].without(regions[1])
    if (own & front).any():
        assert np.array_equal(on_canvas(left.mask, (left.left, left.top), shape), own & ~front)
    else:
        assert left is None
    tight = Region.of(front)
    assert np.array_equal(on_canvas(tight.mask, (tight.left, tight.top), shape), front)

    corner = regions[1].left, regions[1].top
    assert outlines(regions[1].mask, corner) == outlines(front)
    keypoints = np.dstack([rng.uniform(-5, 35, (2, 17, 2)).round(1), rng.integers(0, 3, (2, 17))])
    assert np.array_equal(hide_covered(keypoints, regions[1].mask, corner), hide_covered(keypoints, front))


@pytest.mark.usefixtures("thin_bands")
def test_light_and_blending_in_bands_equal_those_at_once():
    image, scene = painted_scene(1, PEOPLE)
    cutout = cut_out(image, scene, 0, COCO)
    height, width = cutout.alpha.shape
    there = image[-height:, -width:]
    assert len(list(row_bands(height, width))) > 2

    luminance = cv2.cvtColor(cutout.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    own = luminance[cutout.alpha > 0.5]
    light = cv2.cvtColor(np.ascontiguousarray(there), cv2.COLOR_RGB2GRAY).astype(np.float32)
    contrast = 1 + 0.5 * (float(np.clip((light.std() + 1) / (own.std() + 1), 0.5, 1.5)) - 1)
    brightness = float(own.mean()) + 0.5 * float(light.mean() - own.mean())
    change = (luminance - own.mean()) * contrast + brightness - luminance
    lit = np.rint(cutout.pixels + change[..., None]).clip(0, 255).astype(np.uint8)
    assert np.array_equal(relit(cutout, there, 0.5), lit)

    weight = cutout.alpha[..., None]
    mixed = np.rint(lit * weight + there * (1 - weight)).astype(np.uint8)
    assert np.array_equal(blended(lit, there, cutout.alpha), mixed)


@pytest.mark.usefixtures("thin_bands")
def test_whether_a_photo_is_gray_is_decided_by_the_mean_difference():
    rng = np.random.default_rng(0)
    for spread in (0, 1, 2, 3, 4, 5, 6):
        image = 100 + rng.integers(0, spread + 1, (301, 402, 3)).astype(np.uint8)
        sample = image[::4, ::4].astype(np.int16)
        assert composing._is_gray(image) == (np.abs(sample - sample[..., 1:2]).mean() < composing.GRAY)


def test_a_large_photo_needs_little_more_memory_than_its_pixels(monkeypatch):
    monkeypatch.setattr(cutting, "BAND_PIXELS", 1 << 16)
    small, scene = painted_scene(1, PEOPLE)
    image = np.zeros((2400, 3200, 3), np.uint8)
    image[: small.shape[0], : small.shape[1]] = small
    other = scene.__class__(**{**vars(scene), "file_name": "other.png"})
    tracemalloc.start()
    try:
        found = [cut_out(image, scene, person, COCO) for person in range(2)]
        _, cutting_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        composed, labels = compose(np.random.default_rng(0), other, image, found, Settings(), COCO, in_place=True)
        _, composing_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(labels) > 2
    assert composed is image
    # Two masks of a byte for each pixel, whose untouched pages take no memory; the photo has three bytes.
    assert cutting_peak < 0.8 * image.nbytes
    assert composing_peak < 0.25 * image.nbytes
