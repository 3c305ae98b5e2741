from dataclasses import replace

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.crowds.compose import Composition, Settings, compose, moved_keypoints
from everypose.data.crowds.cutouts import cut_out, largest_component, may_be_cut_out
from everypose.data.crowds.grabcut import body_size, grab_person
from everypose.data.crowds.light import blended, relit
from everypose.data.crowds.placement import Place, heaviest_overlap
from everypose.data.crowds.regions import hide_covered, outlines
from everypose.data.crowds.tally import Tally
from everypose.data.masks import segmentation_mask
from painted_people import COCO, ground, painted_scene


@pytest.fixture(scope="module")
def cutouts():
    found = []
    for seed in (1, 2, 3):
        image, scene = painted_scene(seed, [(80, 20, 180), (230, 60, 150)])
        found += [cut_out(image, scene, person, COCO) for person in range(2)]
    assert None not in found
    return found


# --- masks and cut-outs


def test_grabcut_finds_a_painted_person_to_within_a_few_pixels():
    image, scene = painted_scene(1, [(80, 20, 180), (230, 60, 150)])
    background = ground(1)
    truth = (image != background).any(axis=2)
    for person, half in enumerate((np.s_[:, :160], np.s_[:, 160:])):
        found = grab_person(image, scene, person, COCO)
        both = (found & truth)[half].sum()
        assert both / (found | truth)[half].sum() > 0.9
        assert found.sum() == found[half].sum()


def test_a_segmentation_label_is_used_as_it_is():
    image, scene = painted_scene(1, [(80, 20, 180)])
    truth = (image != ground(1)).any(axis=2)
    with_label = replace(scene, segmentations=[outlines(largest_component(truth))])
    cut = cut_out(image, with_label, 0, COCO)
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    assert cut.alpha.shape == (rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    crop = truth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert not cut.alpha[~crop].any()  # nothing of the background comes along
    assert (cut.alpha[cv2.erode(crop.astype(np.uint8), np.ones((9, 9))) > 0] == 1).all()


def test_alpha_is_one_inside_zero_outside_and_soft_between(cutouts):
    for cut in cutouts:
        assert cut.alpha.min() == 0
        assert cut.alpha.max() == 1
        soft = (cut.alpha > 0) & (cut.alpha < 1)
        assert 0 < soft.mean() < 0.35
        points = np.rint(cut.keypoints[[0, 5, 6, 11, 12], :2]).astype(int)
        assert (cut.alpha[points[:, 1], points[:, 0]] == 1).all()


def change(scene, **arrays):
    return replace(scene, **arrays)


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("a crowd region", lambda s: change(s, is_crowd=np.array([True]))),
        ("nine labeled keypoints", lambda s: change(s, keypoints=s.keypoints * (np.arange(17) < 9)[None, :, None])),
        ("mostly hidden", lambda s: change(s, keypoints=np.minimum(s.keypoints, [np.inf, np.inf, 1]))),
        ("too small", lambda s: change(s, boxes=np.array([[60.0, 20, 90, 60]]))),
    ],
)
def test_labels_that_promise_no_good_cutout_are_left_out(what, spoil):
    image, scene = painted_scene(1, [(80, 20, 180)])
    assert may_be_cut_out(scene, 0, COCO)
    assert not may_be_cut_out(spoil(scene), 0, COCO), what
    assert cut_out(image, spoil(scene), 0, COCO) is None


def test_ten_labeled_keypoints_of_coco_are_enough():
    _, scene = painted_scene(1, [(80, 20, 180)])
    ten = change(scene, keypoints=scene.keypoints * (np.arange(17) < 10)[None, :, None])
    assert may_be_cut_out(ten, 0, COCO)


@pytest.mark.parametrize(
    ("what", "polygon"),
    [
        ("keypoints outside the mask", [[60, 20, 100, 20, 100, 110, 60, 110]]),
        ("a full box", [[35, 19, 124, 19, 124, 195, 35, 195]]),
        ("two pieces", [[45, 20, 118, 20, 118, 80, 45, 80], [45, 130, 118, 130, 118, 200, 45, 200]]),
        ("next to nothing", [[60, 20, 62, 20, 62, 22]]),
    ],
)
def test_masks_that_are_no_clean_person_are_dropped(what, polygon):
    image, scene = painted_scene(1, [(80, 20, 180)])
    spoilt = replace(scene, segmentations=[polygon])
    assert cut_out(image, spoilt, 0, COCO) is None, what


def test_a_mask_with_another_persons_keypoints_is_dropped():
    image, scene = painted_scene(1, [(80, 20, 180), (84, 22, 180)])
    truth = largest_component((image != ground(1)).any(axis=2))
    assert cut_out(image, replace(scene, segmentations=[outlines(truth), None]), 0, COCO) is None


def test_a_person_whose_keypoints_all_lie_outside_the_photo_is_dropped():
    image, scene = painted_scene(1, [(80, 20, 180)])
    truth = largest_component((image != ground(1)).any(axis=2))
    away = replace(scene, keypoints=scene.keypoints + np.array([1000.0, 0, 0]), segmentations=[outlines(truth)])
    assert cut_out(image, away, 0, COCO) is None


def test_a_flipped_cutout_flipped_again_is_the_same(cutouts):
    cut = cutouts[0]
    once, twice = cut.flipped(COCO), cut.flipped(COCO).flipped(COCO)
    assert np.array_equal(twice.pixels, cut.pixels)
    assert np.allclose(twice.keypoints, cut.keypoints)
    assert np.allclose(twice.box, cut.box)
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    assert once.keypoints[left, 0] == pytest.approx(cut.pixels.shape[1] - 1 - cut.keypoints[right, 0])


def test_a_resized_cutout_scales_its_labels(cutouts):
    cut = cutouts[0]
    half = cut.resized(0.5)
    factors = np.array(half.alpha.shape[::-1]) / cut.alpha.shape[::-1]
    assert np.allclose(half.keypoints[:, :2], (cut.keypoints[:, :2] + 0.5) * factors - 0.5)
    assert half.area == pytest.approx(cut.area * factors.prod())
    assert cut.resized(1.0).pixels.tobytes() == cut.pixels.tobytes()


def test_body_size_is_the_torso_or_a_share_of_the_box():
    _, scene = painted_scene(1, [(80, 20, 180)])
    assert body_size(scene.keypoints[0], scene.boxes[0], COCO) == pytest.approx(0.3 * 180)
    no_hip = scene.keypoints[0].copy()
    no_hip[COCO.index("left_hip")] = 0
    height = scene.boxes[0, 3] - scene.boxes[0, 1]
    assert body_size(no_hip, scene.boxes[0], COCO) == pytest.approx(0.3 * height)
    close_up = np.array([0.0, 0, 60, 60])  # head and shoulders
    assert body_size(no_hip, close_up, COCO) == pytest.approx(1.3 * 0.22 * 180)
    assert body_size(np.zeros((17, 3)), close_up, COCO) == 18


# --- labels of those who are covered


def literal_hide(keypoints, mask):
    result = []
    for person in keypoints.tolist():
        row = []
        for x, y, v in person:
            column, line = round(x), round(y)
            seen = v == 2
            inside = 0 <= column < mask.shape[1] and 0 <= line < mask.shape[0]
            if seen and inside and mask[line][column]:
                row.append([x, y, 1.0])
            else:
                row.append([x, y, v])
        result.append(row)
    return np.array(result)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_hidden_keypoints_equal_the_literal_rule(seed):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-5, 25, (3, 17, 3))
    keypoints[..., 2] = rng.integers(0, 3, (3, 17))
    mask = rng.random((16, 20)) < 0.5
    before = keypoints.copy()
    assert np.array_equal(hide_covered(keypoints, mask), literal_hide(keypoints, mask))
    assert np.array_equal(keypoints, before)


def literal_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@given(seed=st.integers(0, 10_000), count=st.integers(0, 6))
@settings(max_examples=50, deadline=None)
def test_overlap_shares_equal_the_literal_count(seed, count):
    rng = np.random.default_rng(seed)
    _, scene = painted_scene(1, [(160, 20, 100)] * count)
    corners = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 90, (count, 2))], axis=1)
    labeled = rng.random(count) < 0.8
    crowd = rng.random(count) < 0.2
    scene = replace(scene, boxes=boxes, is_crowd=crowd, keypoints=scene.keypoints * labeled[:, None, None])
    tally = Tally()
    tally.add(scene)

    people = [box for box, good, region in zip(boxes, labeled, crowd, strict=True) if good and not region]
    best = [max([literal_iou(a, b) for b in people if b is not a], default=0) for a in people]
    assert tally.people == len(people)
    assert tally.overlapping.tolist() == [sum(iou > 0.3 for iou in best), sum(iou > 0.5 for iou in best)]
    assert np.allclose(heaviest_overlap(np.array(people).reshape(-1, 4)), best)


def test_keypoints_that_leave_the_photo_become_unlabeled():
    keypoints = np.array([[5, 5, 2], [8, 5, 1], [0, 0, 0]], float)
    moved = moved_keypoints(keypoints, Place(-6, 2, 1.0), 20, 20)
    assert moved.tolist() == [[0, 0, 0], [2, 7, 1], [0, 0, 0]]


# --- pasting


def test_pasted_pixels_equal_the_lit_cutout_and_nothing_else_changes(cutouts):
    image, scene = painted_scene(9, [(60, 30, 160)])
    cut, place = cutouts[0], Place(180, 40, 1.0)
    composition = Composition(scene, image, COCO)
    assert composition.paste(cut, place, Settings())
    height, width = cut.alpha.shape
    window = np.s_[40 : 40 + height, 180 : 180 + width]
    lit = relit(cut, image[window][: image.shape[0] - 40, : image.shape[1] - 180], 0.5)
    there = composition.image[window]
    solid = cut.alpha[: there.shape[0], : there.shape[1]] == 1
    assert np.array_equal(there[solid], lit[: there.shape[0], : there.shape[1]][solid])
    untouched = np.ones(image.shape[:2], bool)
    untouched[window] = cut.alpha[: there.shape[0], : there.shape[1]] == 0
    assert np.array_equal(composition.image[untouched], image[untouched])


def test_labels_of_those_in_front_and_behind(cutouts):
    image, scene = painted_scene(9, [(60, 30, 160), (230, 30, 160)])
    scene = replace(scene, segmentations=[[[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]], None])
    composition = Composition(scene, image, COCO)
    assert composition.paste(cutouts[0], Place(200, 60, 1.0), Settings())
    after = composition.scene()
    assert np.array_equal(after.keypoints[0], scene.keypoints[0])  # nobody is in front of the first
    assert after.segmentations[0] == scene.segmentations[0]
    assert np.array_equal(after.keypoints[1, :, :2], scene.keypoints[1, :, :2])
    assert set(after.keypoints[1, :, 2]) == {1.0, 2.0}
    assert np.array_equal(after.boxes[:2], scene.boxes)
    assert np.array_equal(after.areas[:2], scene.areas)
    assert after.annotation_ids.tolist() == [901, 902, 903]
    assert after.extra["pasted"] == [{"file_name": "1.png", "annotation_id": 101}]
    assert (after.boxes[2, 2:] <= [after.width, after.height]).all()
    assert len(after.segmentations) == len(after) == 3


def test_a_segmentation_behind_loses_what_is_covered(cutouts):
    image, scene = painted_scene(9, [(80, 30, 160)])
    whole = [[40.0, 20.0, 140.0, 20.0, 140.0, 220.0, 40.0, 220.0]]
    composition = Composition(replace(scene, segmentations=[whole]), image, COCO)
    assert composition.paste(cutouts[0], Place(90, 30, 1.0), Settings())
    behind, front = composition.scene().segmentations
    seen, cover = segmentation_mask(behind, 240, 320), segmentation_mask(front, 240, 320)
    assert seen.any()
    assert not (seen & cover).any()
    assert np.array_equal(seen | cover, segmentation_mask(whole, 240, 320) | cover)


def test_nobody_is_pasted_who_would_hide_somebody(cutouts):
    image, scene = painted_scene(9, [(80, 40, 150)])
    cut = cutouts[0]
    over = Place(*np.rint(scene.keypoints[0, 5, :2] - cut.keypoints[5, :2]).astype(int).tolist(), 1.0)  # type: ignore[call-arg]
    composition = Composition(scene, image, COCO)
    assert not composition.paste(cut, over, Settings(most_hidden=0.3))
    assert np.array_equal(composition.image, image)
    assert len(composition.scene()) == 1
    assert composition.paste(cut, over, Settings(most_hidden=1.0))


def test_outlines_give_the_mask_again():
    rng = np.random.default_rng(0)
    mask = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 3) > 0.5
    mask[30, 40] = True
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, parts = cv2.connectedComponents(background, connectivity=4)
    filled = (parts != parts[0, 0])[1:-1, 1:-1]
    assert np.array_equal(segmentation_mask(outlines(mask), 60, 80), filled)
    assert outlines(np.zeros((5, 5), bool)) == []
    encoded = coco_mask.merge(coco_mask.frPyObjects(outlines(mask), 60, 80))
    assert np.array_equal(coco_mask.decode(encoded) > 0, filled)


def test_blending_and_light():
    front, behind = np.full((1, 3, 3), 200, np.uint8), np.full((1, 3, 3), 100, np.uint8)
    assert blended(front, behind, np.array([[0, 0.5, 1]], np.float32))[0, :, 0].tolist() == [100, 150, 200]


def test_light_moves_the_stated_part_of_the_way(cutouts):
    cut = cutouts[0]
    inside = cut.alpha > 0.5
    dark = np.full((50, 50, 3), 40, np.uint8)
    assert np.array_equal(relit(cut, dark, 0.0), cut.pixels)
    before = cv2.cvtColor(cut.pixels, cv2.COLOR_RGB2GRAY)[inside].mean()
    after = cv2.cvtColor(relit(cut, dark, 0.5), cv2.COLOR_RGB2GRAY)[inside].mean()
    assert after == pytest.approx((before + 40) / 2, abs=6)  # clipping at 0 keeps it from being exact


# --- composing


@given(seed=st.integers(0, 1000), wanted=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_composing_keeps_old_labels_and_repeats_itself(cutouts, seed, wanted):
    image, scene = painted_scene(9, [(60, 60, 150), (230, 80, 140)])
    runs = [
        compose(np.random.default_rng(seed), scene, image, cutouts, Settings(overlap=wanted), COCO) for _ in range(2)
    ]
    composed, after = runs[0]
    assert np.array_equal(composed, runs[1][0])
    assert np.array_equal(after.keypoints, runs[1][1].keypoints)
    assert np.array_equal(image, painted_scene(9, [(60, 60, 150), (230, 80, 140)])[0])

    assert np.array_equal(after.boxes[:2], scene.boxes)
    assert np.array_equal(after.keypoints[:2, :, :2], scene.keypoints[:, :, :2])
    assert (after.keypoints[:2, :, 2] > 0).all()
    visible = (after.keypoints[:, :, 2] > 1).mean(axis=1)
    assert (visible >= 0.15 * 0.5).all()
    changed = (composed != image).any(axis=2)
    pasted = np.zeros(changed.shape, bool)
    for x1, y1, x2, y2 in np.rint(after.boxes[2:]).astype(int).tolist():
        pasted[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = True
    assert not (changed & ~pasted).any()
    for keypoints, box in zip(after.keypoints, after.boxes, strict=True):
        points = keypoints[keypoints[:, 2] > 0, :2]
        assert (points >= box[:2] - 3).all()
        assert (points <= box[2:] + 3).all()


def test_the_share_of_overlap_follows_the_setting(cutouts):
    shares = []
    for wanted in (0.0, 0.5, 1.0):
        tally = Tally()
        for seed in range(12):
            image, scene = painted_scene(9, [(60, 60, 150), (230, 80, 140)])
            aimed = Settings(overlap=tally.aim(wanted))
            tally.add(compose(np.random.default_rng(seed), scene, image, cutouts, aimed, COCO)[1])
        shares.append(tally.shares()[0])
    assert shares[0] == 0
    assert shares[1] == pytest.approx(0.5, abs=0.1)
    assert shares[2] > 0.8


def test_nobody_is_pasted_on_the_own_photo(cutouts):
    image, scene = painted_scene(1, [(80, 20, 180), (230, 60, 150)])
    own = [cut for cut in cutouts if cut.file_name == scene.file_name]
    composed, after = compose(np.random.default_rng(0), scene, image, own, Settings(), COCO)
    assert np.array_equal(composed, image)
    assert len(after) == 2


def test_a_black_and_white_photo_stays_so(cutouts):
    image, scene = painted_scene(9, [(60, 60, 150)])
    gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    composed, after = compose(np.random.default_rng(0), scene, gray, cutouts, Settings(), COCO)
    assert len(after) > 1
    assert (composed == composed[..., :1]).all()


def test_an_empty_photo_gets_people(cutouts):
    image, scene = painted_scene(9, [])
    _, after = compose(np.random.default_rng(1), scene, image, cutouts, Settings(people=(3, 3), overlap=0), COCO)
    assert len(after) >= 2
    assert (heaviest_overlap(after.boxes) <= 0.3).all()
