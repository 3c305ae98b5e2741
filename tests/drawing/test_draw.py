"""Pictures of people: what is drawn where, and files that are whole."""

import cv2
import numpy as np
import pytest

from everypose.drawing import Drawing, DrawingStyle, contact_sheet, draw_people, encode
from everypose.drawing import draw as drawing
from everypose.drawing.colors import person_color
from everypose.errors import EveryposeError, UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
# A standing figure, in shares of its height: x, y of the 17 keypoints; its left side is on the right of the picture.
FIGURE = np.array(
    [
        [0.0, 0.05], [0.02, 0.03], [-0.02, 0.03], [0.05, 0.04], [-0.05, 0.04], [0.12, 0.18], [-0.12, 0.18],
        [0.18, 0.33], [-0.18, 0.33], [0.2, 0.48], [-0.2, 0.48], [0.08, 0.52], [-0.08, 0.52], [0.09, 0.75],
        [-0.09, 0.75], [0.1, 0.97], [-0.1, 0.97],
    ]
)  # fmt: skip


def photo(height=240, width=320):
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(60, 200, (height, width, 3), dtype=np.uint8), (9, 9), 3)


def standing(*places, score=0.9):
    """People whose heads are at x, y and who are ``size`` pixels tall."""
    keypoints = np.full((len(places), 17, 3), score)
    for person, (x, y, size) in zip(keypoints, places, strict=True):
        person[:, :2] = FIGURE * size + (x, y)
    return People(keypoints, np.full(len(places), score), COCO)


def changed(image, drawn):
    return (image != drawn).any(axis=2)


def test_limbs_and_keypoints_are_drawn_and_nothing_else():
    image, people = photo(), standing((160, 20, 200))
    before = image.copy()
    drawn = draw_people(image, people)
    np.testing.assert_array_equal(image, before)
    where = changed(image, drawn)
    points = people.keypoints[0, :, :2]
    for start, end in COCO.links:
        x, y = np.rint((points[start] + points[end]) / 2).astype(int)
        assert where[y, x], (COCO.keypoints[start], COCO.keypoints[end])
    for x, y in np.rint(points).astype(int):
        assert where[y, x]
    assert not where[:, :100].any()
    assert not where[:, 220:].any()


def test_left_is_lighter_than_right():
    drawn = draw_people(photo(), standing((160, 20, 200))).astype(int)
    left, right = (drawn[int(20 + 0.63 * 200), x].sum() for x in (160 + 17, 160 - 17))
    assert left > right + 60


def test_people_differ_in_color():
    image = np.full((200, 900, 3), 128, np.uint8)
    people = standing(*[(50 + 65 * place, 10, 180) for place in range(13)])
    drawn = draw_people(image, people)
    shin = [tuple(drawn[int(10 + 0.86 * 180), round(50 + 65 * place + 0.095 * 180)].tolist()) for place in range(13)]
    assert len(set(shin)) == 13


def test_keypoints_without_score_are_not_drawn():
    image, people = photo(), standing((160, 20, 200))
    hidden = people.keypoints.copy()
    hidden[0, 11:, 2] = 0.05
    drawn = draw_people(image, People(hidden, people.scores, COCO))
    where = changed(image, drawn)
    assert where[:120].any()
    assert not where[140:].any()
    assert not changed(image, draw_people(image, people, DrawingStyle(keypoint_share=1.0))).any()


@pytest.mark.parametrize("shape", [(1, 1), (240, 320), (1300, 30)])
def test_nobody_leaves_the_photo_as_it_was(shape):
    image = photo(*shape)
    drawn = draw_people(image, People.empty(COCO))
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_the_order_of_people_only_changes_their_colors():
    image = photo()
    people = standing((80, 20, 200), (240, 60, 120))
    there, back = (changed(image, draw_people(image, some)) for some in (people, people[::-1]))
    assert (there != back).mean() < 0.001


def test_larger_people_have_thicker_limbs_in_the_same_picture():
    image = np.full((800, 800, 3), 90, np.uint8)
    thickness = []
    for size in (120, 700):
        where = changed(image, draw_people(image, standing((400, 20, size))))
        row = where[int(20 + 0.63 * size)]
        thickness.append(int(row[400:].sum()))
    assert thickness[1] > 1.5 * thickness[0]


@pytest.mark.parametrize("place", [(-400, -400, 100), (1e7, 5, 100), (-1e30, 1e30, 100), (319, 239, 90)])
def test_people_beyond_the_border(place):
    drawn = draw_people(photo(), standing(place))
    assert drawn.shape == (240, 320, 3)


def test_other_skeletons_and_unknown_sigmas():
    for name in ("interhand2d", "coco_wholebody", "mpii"):
        skeleton = Skeleton.named(name)
        rng = np.random.default_rng(0)
        people = People(rng.uniform(20, 200, (1, len(skeleton), 3)), [1.0], skeleton)
        assert changed(photo(), draw_people(photo(), people)).any()


@pytest.mark.parametrize("shape", [(240, 320), (700, 900), (1500, 2500)])
@pytest.mark.parametrize("places", [[(160, 20, 200)], [(40, 60, 90), (300, 10, 180)], [(-5, 190, 120), (310, 3, 6)]])
def test_only_the_part_that_people_cover_is_drawn_on_and_no_pixel_tells(shape, places, monkeypatch):
    image, people = photo(*shape), standing(*places)
    drawn = draw_people(image, people)
    monkeypatch.setattr(drawing, "_region", lambda *_: (slice(0, shape[0]), slice(0, shape[1])))
    np.testing.assert_array_equal(drawn, draw_people(image, people))


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))])
def test_what_cannot_be_drawn_on(image):
    with pytest.raises(UsageError, match="uint8"):
        draw_people(image, People.empty(COCO))


def test_saving_and_reading_back(tmp_path):
    people = standing((160, 20, 200))
    drawn = people.draw(photo())
    drawn.save(tmp_path / "new" / "out.png")
    back = cv2.cvtColor(cv2.imread(str(tmp_path / "new" / "out.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(back, drawn.image)
    drawn.save(str(tmp_path / "out.JPG"))
    assert cv2.imread(str(tmp_path / "out.JPG")).shape == (240, 320, 3)
    assert {file.name for file in tmp_path.iterdir()} == {"new", "out.JPG"}


@pytest.mark.parametrize("name", ["out", "out.txt", "out.xyz"])
def test_suffixes_that_are_no_picture(tmp_path, name):
    with pytest.raises(UsageError, match=r"use \.jpg or \.png"):
        Drawing(photo()).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_long_for_its_format(tmp_path):
    with pytest.raises(EveryposeError, match="66000 x 1") as caught:
        Drawing(np.zeros((1, 66000, 3), np.uint8)).save(tmp_path / "long.jpg")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryposeError, match="cannot write"):
        Drawing(photo()).save(tmp_path / "file" / "out.png")


def test_drawing_over_a_file(tmp_path):
    Drawing(photo()).save(tmp_path / "photo.png")
    people = standing((160, 20, 200))
    np.testing.assert_array_equal(people.draw(tmp_path / "photo.png").image, people.draw(photo()).image)


def test_pictures_in_notebooks():
    people = standing((160, 20, 200))
    assert people._repr_png_() is None
    with pytest.raises(UsageError, match="no image"):
        people.draw()
    shown = People(people.keypoints, people.scores, COCO, image=photo())._repr_png_()
    assert cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR).shape == (240, 320, 3)
    wide = Drawing(np.zeros((100, 5000, 3), np.uint8))._repr_png_()
    assert cv2.imdecode(np.frombuffer(wide, np.uint8), cv2.IMREAD_COLOR).shape == (26, 1280, 3)


def test_contact_sheet_holds_every_image():
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    shapes = [(50, 100), (900, 300), (300, 300), (1, 1), (20, 4000)]
    images = [np.full((*shape, 3), color, np.uint8) for shape, color in zip(shapes, colors, strict=True)]
    sheet = contact_sheet(images, ["a"] * 5, columns=2, cell=(80, 60))
    assert sheet.dtype == np.uint8
    for index, color in enumerate(colors):
        rows, columns = np.nonzero((sheet == color).all(axis=2))
        assert len(rows), index
        assert rows.min() // (sheet.shape[0] // 3) == index // 2
        assert columns.min() // (sheet.shape[1] // 2) == index % 2


def test_captions_stay_in_their_cell():
    image = np.full((60, 80, 3), 250, np.uint8)
    sheet = contact_sheet([image, image], ["x" * 500, ""], columns=2, cell=(80, 60))
    dark = np.nonzero((sheet < 200).any(axis=(0, 2)))[0]
    assert dark.size
    assert dark.max() < 12 + 80 + 12
    assert contact_sheet([image], ["naïve 人"]).shape[1] == 400 + 24


@pytest.mark.parametrize(("images", "captions"), [([], []), ([np.zeros((2, 2, 3), np.uint8)], [])])
def test_no_contact_sheet(images, captions):
    with pytest.raises(UsageError, match="a caption for each"):
        contact_sheet(images, captions)


def test_in_place_is_the_same_picture_without_a_copy():
    image, people = photo(), standing((160, 20, 200))
    style = DrawingStyle(boxes=True, blur_faces=True)
    expected = draw_people(image, people, style)
    own = image.copy()
    assert draw_people(own, people, style, in_place=True) is own
    np.testing.assert_array_equal(own, expected)


def test_bands_of_a_large_picture_join(monkeypatch):
    """At the edge of a band OpenCV clips lines, which moves their rim by less than a level of gray on average."""
    image, people = photo(2600, 500), standing((250, 100, 2400))
    whole = draw_people(image, people).astype(int)
    monkeypatch.setattr(drawing, "BAND_PIXELS", 100_000)
    bands = draw_people(image, people).astype(int)
    assert (changed(image, whole) != changed(image, bands)).mean() < 1e-3
    assert abs(whole - bands).mean() < 0.05


def test_encoding_in_the_memory_of_the_picture():
    image = photo()
    assert encode(image.copy(), ".jpg", overwrite=True) == encode(image, ".jpg")


@pytest.mark.parametrize("palette", ["vivid", "colorblind"])
def test_every_id_has_a_color(palette):
    for number in (-(2**63), -13, -1, 0, 12, 2**63 - 1):
        assert all(0 <= value <= 255 for value in person_color(number, palette))
