"""What is no person is found where a model has a head for it and somebody says where it is."""

import json

import cv2
import numpy as np
import pytest

import everypose as package
from everypose.errors import UsageError
from everypose.inference.box_sources import WholeImage
from everypose.inference.boxes import Boxes
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from inference.tiny_posebh import tiny
from painted_people import ground

SETS = ("coco", "ap10k", "interhand2d")
BEAST = [30.0, 40.0, 120.0, 70.0]
"""x y w h."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of people, animals and hands, and a picture of a beast with its box, which is one of species 26."""
    folder = tmp_path_factory.mktemp("zoo")
    save_model(*tiny(skeletons={name: Skeleton.named(name) for name in SETS}), folder / "model")  # type: ignore[call-arg]
    picture = ground(0, 160, 200)
    cv2.ellipse(picture, (90, 70), (45, 20), 0, 0, 360, (150, 90, 40), -1)
    cv2.circle(picture, (135, 55), 14, (170, 100, 50), -1)
    for x in (55, 70, 110, 125):
        cv2.line(picture, (x, 80), (x, 108), (120, 70, 30), 7)
    cv2.imwrite(str(folder / "beast.png"), picture)
    rows = [{"image_id": 1, "category_id": 26, "bbox": BEAST, "score": 0.5, "file_name": "beast.png"}]
    (folder / "boxes.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def predict(everypose, folder, tmp_path):
    """Runs the command on the picture; gives how it ended and the results."""

    def run(*arguments):
        done = everypose("predict", folder / "beast.png", "-m", folder / "model", "-o", tmp_path / "out", *arguments)
        written = tmp_path / "out/results.json"
        return done, json.loads(written.read_text()) if written.exists() else None

    return run


@pytest.mark.parametrize("category", ["26", "any"])
def test_an_animal_is_found_in_the_box_of_its_species(predict, folder, category):
    done, rows = predict("--skeleton", "ap10k", "--boxes", folder / "boxes.json", "--box-category", category)
    assert (done.code, done.err) == (0, "")
    assert "for 1 of 1 images\n" in done.out
    box = Boxes(np.array([[30.0, 40, 150, 110]]), np.array([0.5]))
    expected = package.load(folder / "model", detector=lambda _: box, skeleton="ap10k")(folder / "beast.png")
    assert expected.skeleton == Skeleton.named("ap10k")
    np.testing.assert_allclose([row["keypoints"] for row in rows], expected.keypoints.reshape(1, -1), rtol=1e-5)
    assert rows[0]["bbox"] == BEAST


def test_boxes_of_no_person_are_counted_where_people_are_looked_for(predict, folder):
    done, rows = predict("--skeleton", "ap10k", "--boxes", folder / "boxes.json")
    assert (done.code, rows) == (0, [])
    assert "for 0 of 1 images; 1 of other categories do not count (see --box-category)" in done.out


@pytest.mark.parametrize("skeleton", ["ap10k", "interhand2d"])
def test_a_whole_image_may_be_the_box(predict, skeleton):
    done, rows = predict("--skeleton", skeleton, "--boxes", "image")
    assert (done.code, done.err) == (0, "")
    assert "  boxes          one around each whole image\n" in done.out
    (row,) = rows
    assert len(row["keypoints"]) == 3 * len(Skeleton.named(skeleton))
    assert row["bbox"] == [0, 0, 199, 159]


def test_hands_have_no_sigmas_and_are_all_kept(folder):
    one = package.load(folder / "model", detector=WholeImage(), skeleton="interhand2d")
    assert one.config.on_crops.nms is None
    assert package.load(folder / "model", detector=WholeImage(), skeleton="ap10k").config.on_crops.nms == 0.9


@pytest.mark.parametrize("skeleton", ["ap10k", "interhand2d"])
def test_the_detector_of_people_is_not_asked_for_animals_and_hands(predict, skeleton):
    done, rows = predict("--skeleton", skeleton)
    assert (done.code, rows) == (2, None)
    assert done.err.startswith(f"everypose: the keypoints of {skeleton} are those of ")
    assert done.err.endswith("picodet-s finds people: say where they are with --boxes\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box-category", "26"], "--box-category chooses from the boxes of a file: give --boxes FILE"),
        (["--boxes", "image", "--box-category", "26"], "--box-category chooses from the boxes of a file"),
        (["--boxes", "image", "--box-threshold", "0.5"], "has no score to be compared"),
        (
            ["--boxes", "boxes.json", "--box-category", "horse"],
            "--box-category horse: give a category's number, or any",
        ),
        (["--boxes", "image", "--detector", "boir-lite"], "--detector and --boxes both say where the people are"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_one_line(predict, arguments, message):
    done, rows = predict(*arguments)
    assert (done.code, rows) == (2, None)
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_model_that_finds_people_by_itself_takes_no_whole_image():
    with pytest.raises(UsageError, match="takes no detector, boxes, threshold of boxes or tiles"):
        package.load("boir-lite", detector=WholeImage())
