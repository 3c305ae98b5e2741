"""Half bodies as recorded, and what is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import EveryposeError
from everypose.methods.top_down.augmentation import (
    CropDraws,
    augmented_region,
    draw,
    half_body,
)
from everypose.methods.top_down.crops import keypoint_region
from everypose.methods.top_down.settings import CropAugmentation, ViTPoseAugmentation
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load

COCO = Skeleton.named("coco")

SIMPLE_BASELINE = CropAugmentation(scale=0.3, rotation=40.0, half_body=0.0)
VITPOSE = ViTPoseAugmentation()


@pytest.mark.parametrize("i", range(4))
def test_half_bodies_equal_the_release(i):
    golden = load("mipnet/geometry")
    keypoints = np.concatenate([golden["flip/joints_in"][:, :2], golden["flip/vis_in"][:, :1]], axis=1)
    points = half_body(keypoints, COCO, bool(golden[f"halfbody/{i}/randn"] < 0.5))
    center, size = keypoint_region(points, 0.75, 1.5)
    np.testing.assert_allclose(center, golden[f"halfbody/{i}/center"], rtol=1e-6)
    np.testing.assert_allclose(size, 200 * golden[f"halfbody/{i}/scale"], rtol=1e-6)


def literal_half_body(keypoints, upper_body, prefer_upper):
    upper, lower = [], []
    for index, (x, y, visible) in enumerate(keypoints):
        if visible > 0:
            (upper if index in upper_body else lower).append((x, y))
    if len(upper) + len(lower) <= 8:
        return []
    if prefer_upper and len(upper) > 2:
        return upper
    if len(lower) > 2:
        return lower
    return upper if len(upper) >= 2 else []


@given(st.lists(st.booleans(), min_size=17, max_size=17), st.booleans(), st.integers(0, 99))
def test_half_bodies_equal_their_literal_twin(labeled, prefer_upper, seed):
    points = np.random.default_rng(seed).uniform(0, 100, (17, 2))
    keypoints = np.concatenate([points, np.array(labeled)[:, None] * 2.0], axis=1)
    ours = half_body(keypoints, COCO, prefer_upper)
    assert ours.tolist() == [list(point) for point in literal_half_body(keypoints, COCO.upper_body, prefer_upper)]


def test_hands_and_face_are_of_the_lower_body():
    wholebody = Skeleton.named("coco_wholebody")
    keypoints = np.ones((133, 3))
    assert len(half_body(keypoints, wholebody, True)) == 11
    assert len(half_body(keypoints, wholebody, False)) == 122


def test_a_skeleton_without_halves_is_an_error():
    with pytest.raises(EveryposeError, match="half_body to 0"):
        half_body(np.ones((21, 3)), Skeleton.named("interhand2d"), True)


def test_the_region_moves_as_drawn():
    center, size, box = np.array([50.0, 60.0]), np.array([75.0, 100.0]), np.array([30.0, 20.0, 70.0, 100.0])
    nobody = np.zeros((17, 3))
    same = augmented_region(center, size, box=box, keypoints=nobody, skeleton=COCO, aspect=0.75, draws=CropDraws())
    np.testing.assert_array_equal(same, [center, size])
    moved = augmented_region(
        center,
        size,
        box=box,
        keypoints=nobody,
        skeleton=COCO,
        aspect=0.75,
        draws=CropDraws(True, True, 1.2, shift=(0.1, -0.2)),
    )
    np.testing.assert_allclose(moved, [(54, 44), (90, 120)])


@pytest.mark.parametrize("augmentation", [CropAugmentation(), SIMPLE_BASELINE, VITPOSE])
def test_draws_have_the_published_distribution(augmentation):
    rng = np.random.default_rng(0)
    draws = [draw(rng, augmentation) for _ in range(20000)]
    of = {
        field: np.array([getattr(one, field) for one in draws]) for field in ("scale", "rotation", "flip", "half_body")
    }
    shift = np.array([one.shift for one in draws])
    assert of["flip"].mean() == pytest.approx(0.5, abs=0.02)
    assert of["half_body"].mean() == pytest.approx(augmentation.half_body, abs=0.02)
    # The probability of a normal number below one half.
    assert np.mean([one.prefer_upper for one in draws]) == pytest.approx(0.6915, abs=0.02)
    assert (of["rotation"] == 0).mean() == pytest.approx(0.4, abs=0.02)
    assert np.abs(of["rotation"]).max() == 2 * augmentation.rotation
    rotated = np.abs(of["rotation"][of["rotation"] != 0])
    assert (rotated < augmentation.rotation).mean() == pytest.approx(0.6827, abs=0.02)
    # Cut at one standard deviation: 16 of 100 at each end.
    for end in (1 - augmentation.scale, 1 + augmentation.scale):
        assert np.isclose(of["scale"], end).mean() == pytest.approx(0.1587, abs=0.02)
    assert np.abs(of["scale"] - 1).max() == pytest.approx(augmentation.scale)
    assert (shift != 0).any(axis=1).mean() == pytest.approx(augmentation.shift_probability, abs=0.02)
    assert np.abs(shift).max() <= augmentation.shift


def test_a_person_can_keep_one_shift():
    settings = VITPOSE.model_copy(update={"shift_probability": 1.0})
    first, second = (draw(np.random.default_rng(i), settings, np.random.default_rng(7)) for i in (0, 1))
    assert first.shift == second.shift != (0.0, 0.0)
    assert first.scale != second.scale


def test_equal_generators_draw_equal_numbers():
    assert draw(np.random.default_rng(3), VITPOSE) == draw(np.random.default_rng(3), VITPOSE)
