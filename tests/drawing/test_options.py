"""Styles, colors by identity, labels, trails, blurred faces and crops."""

import numpy as np
import pytest
from pydantic import ValidationError

from drawing.test_draw import COCO, changed, photo, standing
from everypose.drawing import DrawingStyle, Trails, blur_faces, draw_people, person_crops
from everypose.drawing.colors import OKABE_ITO, person_color, tint
from everypose.drawing.labels import label_texts
from everypose.errors import UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

SIDES = ("left", "", "right")


def tracked(*places, ids):
    people = standing(*places)
    return People(people.keypoints, people.scores, COCO, ids=ids)


def colors_of(image, drawn):
    """The colors that the drawing brought, without those of soft edges."""
    where = changed(image, drawn)
    colors, counts = np.unique(drawn[where], axis=0, return_counts=True)
    return {tuple(color.tolist()) for color, count in zip(colors, counts, strict=True) if count > 20}


@pytest.mark.parametrize("palette", ["vivid", "colorblind"])
def test_colors_follow_the_identity(palette):
    image = np.full((240, 320, 3), 128, np.uint8)
    style = DrawingStyle(palette=palette, supersampling=1)
    one = draw_people(image, tracked((80, 20, 200), (240, 60, 120), ids=[5, 2]), style)
    other = draw_people(image, tracked((240, 60, 120), (80, 20, 200), ids=[2, 5]), style)
    assert np.abs(one.astype(int) - other).max() <= 1
    third = draw_people(image, tracked((80, 20, 200), (240, 60, 120), ids=[2, 5]), style)
    assert np.abs(one.astype(int) - third).max() > 50


def test_colorblind_colors_differ_in_lightness_and_side():
    for number, color in enumerate(OKABE_ITO):
        assert person_color(number, "colorblind") == person_color(number + len(OKABE_ITO), "colorblind") == color
        light, middle, dark = (sum(person_color(number, "colorblind", side)) for side in SIDES)
        assert light > middle > dark
    assert tint((0, 0, 0)) == (127, 127, 127)


def test_identities_beyond_the_palette_have_colors_of_their_own():
    colors = {person_color(number, "vivid") for number in range(100)}
    assert len(colors) > 90


def test_styles_differ_in_how_much_they_cover():
    image, people = photo(), standing((160, 20, 200))
    covered = {
        name: changed(image, draw_people(image, people, DrawingStyle(skeleton=name))).sum()
        for name in ("limbs", "lines", "points", "none")
    }
    assert covered["limbs"] > 1.5 * covered["lines"]
    assert covered["points"] < covered["limbs"]
    assert covered["none"] == 0


def test_line_width():
    image, people = np.full((400, 400, 3), 90, np.uint8), standing((200, 20, 350))
    thick = []
    for width in (2, 8):
        drawn = draw_people(image, people, DrawingStyle(skeleton="lines", line_width=width))
        thick.append(int(changed(image, drawn)[int(20 + 0.63 * 350), 200:].sum()))
    assert thick[1] - thick[0] == pytest.approx(6, abs=2)


def test_people_below_the_score_are_not_drawn():
    image, people = photo(), standing((80, 20, 200), (240, 20, 200))
    people = People(people.keypoints, [0.9, 0.2], COCO)
    where = changed(image, draw_people(image, people, DrawingStyle(min_score=0.5, boxes=True, labels=("score",))))
    assert where[:, :150].any()
    assert not where[:, 170:].any()


def test_boxes():
    image, people = photo(), standing((160, 20, 200))
    where = changed(image, draw_people(image, people, DrawingStyle(skeleton="none", boxes=True)))
    x1, y1, x2, y2 = np.rint(people.boxes[0]).astype(int)
    assert where[y1, (x1 + x2) // 2]
    assert where[(y1 + y2) // 2, x2]
    assert not where[(y1 + y2) // 2, (x1 + x2) // 2]


def test_labels_say_identity_and_score():
    people = tracked((80, 20, 200), (240, 60, 120), ids=[5, 2])
    assert label_texts(people, DrawingStyle(labels=("id", "score"))) == ["5 0.90", "2 0.90"]
    assert label_texts(people, DrawingStyle(labels=("score",))) == ["0.90", "0.90"]
    assert label_texts(standing((1, 1, 9)), DrawingStyle(labels=("id",))) == [""]


@pytest.mark.parametrize("place", [(160, 20, 100), (-50, -80, 100), (400, 300, 100)])
def test_labels_stay_in_the_image(place):
    image = photo()
    people = tracked(place, ids=[12])
    where = changed(image, draw_people(image, people, DrawingStyle(skeleton="none", labels=("id", "score"))))
    assert 200 < where.sum() < 3000


def test_a_label_larger_than_the_image():
    image = photo(5, 6)
    assert draw_people(image, tracked((1, 1, 4), ids=[123456]), DrawingStyle(labels=("id",))).shape == (5, 6, 3)


def test_settings_that_cannot_be():
    for wrong in ({"skeleton": "stick"}, {"line_width": 0}, {"labels": ("name",)}, {"color": 1}):
        with pytest.raises(ValidationError):
            DrawingStyle(**wrong)


def test_a_blurred_face_is_a_mosaic_and_the_rest_stays():
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    people = standing((160, 30, 200))
    blurred = blur_faces(image, people)
    where = changed(image, blurred)
    for name in ("nose", "left_eye", "right_ear"):
        x, y, _ = people[0][name]
        assert where[round(y), round(x)]
    assert not where[int(30 + 0.17 * 200) :].any()
    top, left = np.argwhere(where).min(axis=0)
    bottom, right = np.argwhere(where).max(axis=0)
    face = blurred[top : bottom + 1, left : right + 1][where[top : bottom + 1, left : right + 1]]
    assert len(np.unique(face, axis=0)) <= 25  # what a mosaic of 5 x 5 cells holds
    assert np.abs(image[where].astype(int) - blurred[where]).mean() > 40


def test_faces_are_blurred_whatever_the_scores_say():
    image, people = photo(), standing((160, 30, 200))
    unsure = people.keypoints.copy()
    unsure[0, :5, 2] = 0.0
    assert changed(image, blur_faces(image, People(unsure, [0.01], COCO))).any()
    style = DrawingStyle(blur_faces=True, min_score=0.5, skeleton="none")
    assert changed(image, draw_people(image, People(unsure, [0.01], COCO), style)).any()


def test_a_stray_keypoint_does_not_blur_everything():
    image, people = photo(), standing((160, 30, 200))
    stray = people.keypoints.copy()
    stray[0, 4] = (5, 230, 0.001)
    assert changed(image, blur_faces(image, People(stray, [0.9], COCO))).sum() < 4000


@pytest.mark.parametrize("name", ["crowdpose", "coco_wholebody", "mpii", "posetrack18", "aic"])
def test_faces_of_other_skeletons(name):
    skeleton = Skeleton.named(name)
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(50, 150, (1, len(skeleton), 3))
    assert changed(photo(), blur_faces(photo(), People(keypoints, [1.0], skeleton))).any()


def test_hands_have_no_face():
    hand = Skeleton.named("interhand2d")
    with pytest.raises(UsageError, match="'interhand2d' has no keypoint of the head"):
        blur_faces(photo(), People.empty(hand))


@pytest.mark.parametrize("place", [(-1000, 5, 100), (319, 239, 90), (0, 0, 3)])
def test_faces_beyond_the_border(place):
    assert blur_faces(photo(), standing(place)).shape == (240, 320, 3)


def test_crops():
    image, people = photo(), standing((160, 20, 200), (-5000, 20, 200), (2, 100, 120))
    inside, outside, cut = person_crops(image, people, margin=0.1)
    x1, y1, x2, y2 = people.boxes[0]
    space = 0.1 * (y2 - y1)
    assert inside.shape[:2] == pytest.approx((y2 + space - max(0, y1 - space), x2 - x1 + 2 * space), abs=3)
    np.testing.assert_array_equal(inside[0, 0], image[int(max(0, y1 - space)), int(x1 - space)])
    assert outside.size == 0
    assert cut.shape[1] < 60


def test_trails_follow_and_fade():
    image = np.zeros((200, 400, 3), np.uint8)
    trails = Trails(seconds=1.0, palette="vivid")
    for number in range(40):
        people = tracked((20 + 8 * number, 10, 150), ids=[7])
        trails.update(people, number / 10)
    drawn = image.copy()
    trails.draw(drawn, 3.9)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert rows.min() > 140  # at the feet
    assert columns.min() > 20 + 8 * 28  # the last second only
    assert columns.max() >= 20 + 8 * 38
    bright = drawn.max(axis=2)
    assert bright[:, 320:].max() > bright[:, :270].max()
    trails.update(People.empty(COCO), 10.0)
    empty = image.copy()
    trails.draw(empty, 10.0)
    assert not empty.any()


@pytest.mark.parametrize(("missing", "joined"), [(0, True), (2, True), (6, False)])
@pytest.mark.parametrize("step", [0.1, 2.0])
def test_a_trail_does_not_lead_across_a_gap(missing, joined, step):
    """A person is unseen for some frames and comes back elsewhere; slow frame rates leave no gap."""
    trails = Trails(seconds=100.0, palette="vivid")
    ways = [20, 25, 30, *[None] * missing, 300, 305]
    for number, x in enumerate(ways):
        trails.update(People.empty(COCO) if x is None else tracked((x, 10, 150), ids=[7]), number * step)
    image = np.zeros((200, 400, 3), np.uint8)
    trails.draw(image, (len(ways) - 1) * step)
    assert image[:, 100:250].any() == (joined and (missing == 0 or step < 1))
    assert image[:, :60].any()
    assert image[:, 300:].any()


def test_trails_need_identities():
    trails = Trails(seconds=1.0, palette="vivid")
    for number in range(5):
        trails.update(standing((20 + 8 * number, 10, 150)), number / 10)
    image = np.zeros((200, 400, 3), np.uint8)
    trails.draw(image, 0.4)
    assert not image.any()
