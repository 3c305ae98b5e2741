import json

import cv2
import numpy as np
import pytest

from everypose.data.formats.coco import read_coco
from painted_people import COCO, ground, painted_scene, write_set


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "set"
    people = [[(80, 20, 180), (230, 60, 150)], [(90, 40, 170)], [(160, 30, 180)]]
    labels = write_set(folder, [painted_scene(seed, each) for seed, each in enumerate(people, start=1)])
    return labels, folder / "images"


def everything(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_composed_set_is_whole_readable_and_says_how_it_was_made(photos, tmp_path, everypose):
    done = everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--count", "5", "--seed", "3")
    assert done.code == 0, done.err
    assert "5 photos" in done.out
    assert "IoU > 0.3" in done.out
    scenes = read_coco(tmp_path / "out/annotations.json", tmp_path / "out/images")
    assert scenes.repairs == []
    assert len(scenes) == 5
    assert scenes.skeleton.keypoints == COCO.keypoints
    for scene in scenes:
        assert cv2.imread(str(scene.path)).shape[:2] == (scene.height, scene.width)

    content = json.loads((tmp_path / "out/annotations.json").read_text())
    info = content["info"]
    assert info["seed"] == 3
    assert info["settings"]["overlap"] == 0.5
    assert len(info["annotations"]["sha256"]) == 64
    assert info["pasted"] == sum(entry["pasted"] for entry in content["annotations"]) > 0
    assert content["categories"][0]["keypoints"] == list(COCO.keypoints)
    backgrounds = {entry["id"]: entry["background"] for entry in content["images"]}
    for entry in content["annotations"]:
        same = entry["source"]["file_name"] == backgrounds[entry["image_id"]]
        assert same is not entry["pasted"]
        assert ("segmentation" in entry) is entry["pasted"]
    ids = [entry["id"] for entry in content["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


def test_the_same_seed_gives_the_same_files_and_another_seed_others(photos, tmp_path, everypose):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert everypose("data", "crowd", *photos, "-o", tmp_path / name, "--seed", seed, "-q").code == 0
    first, again, other = (everything(tmp_path / name) for name in "abc")
    assert first == again
    assert first != other
    assert len(first) == 4


def test_backgrounds_of_their_own(photos, tmp_path, everypose):
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "empty/field.png"), ground(7))
    arguments = ("--backgrounds", tmp_path / "empty", "--count", 2, "--people", 1, 2)
    done = everypose("data", "crowd", *photos, "-o", tmp_path / "out", *arguments)
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "out/annotations.json").read_text())
    assert {entry["background"] for entry in content["images"]} == {"field.png"}
    assert all(entry["pasted"] for entry in content["annotations"])


def test_quiet_says_nothing(photos, tmp_path, everypose):
    done = everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--count", 1, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def failed(done, code, *words):
    assert done.code == code
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1, done.err
    for word in words:
        assert word in done.err


def test_no_people(tmp_path, everypose):
    labels = write_set(tmp_path / "set", [painted_scene(1, [])])
    done = everypose("data", "crowd", labels, tmp_path / "set/images", "-o", tmp_path / "out")
    failed(done, 1, "labels.json", "no person")
    assert not (tmp_path / "out/annotations.json").exists()


def test_nobody_who_can_be_cut_out(tmp_path, everypose):
    labels = write_set(tmp_path / "set", [painted_scene(1, [(80, 20, 50)])])
    failed(everypose("data", "crowd", labels, tmp_path / "set/images", "-o", tmp_path / "out"), 1, "cut out")


def test_one_photo_alone_gives_no_place_for_its_own_people(tmp_path, everypose):
    labels = write_set(tmp_path / "set", [painted_scene(1, [(80, 20, 180)])])
    failed(everypose("data", "crowd", labels, tmp_path / "set/images", "-o", tmp_path / "out"), 1, "no person fits")


def test_an_output_folder_that_cannot_be_written(photos, tmp_path, everypose):
    (tmp_path / "file").write_text("in the way")
    failed(everypose("data", "crowd", *photos, "-o", tmp_path / "file/out"), 1, "cannot write")


def test_a_finished_set_is_left_alone(photos, tmp_path, everypose):
    assert everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--count", 1).code == 0
    before = everything(tmp_path / "out")
    failed(everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--count", 2), 2, "holds a set already")
    assert everything(tmp_path / "out") == before


def test_an_interrupted_run_leaves_no_annotation_file(photos, tmp_path, everypose, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    failed(everypose("data", "crowd", *photos, "-o", tmp_path / "out"), 1, "No space left")
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("people", [("3", "2"), ("0", "2")])
def test_people_must_be_a_range(photos, tmp_path, everypose, people):
    failed(everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--people", *people), 2, "--people")


def test_labels_that_are_not_there(tmp_path, everypose):
    failed(everypose("data", "crowd", tmp_path / "no.json", tmp_path, "-o", tmp_path / "out"), 1, "no.json")


def test_a_photo_that_is_not_there(tmp_path, everypose):
    labels = write_set(tmp_path / "set", [painted_scene(1, [(80, 20, 180)])])
    (tmp_path / "set/images/1.png").unlink()
    failed(everypose("data", "crowd", labels, tmp_path / "set/images", "-o", tmp_path / "out"), 1, "1.png")


def test_a_photo_of_another_size_than_its_labels(tmp_path, everypose):
    labels = write_set(tmp_path / "set", [painted_scene(1, [(80, 20, 180)])])
    cv2.imwrite(str(tmp_path / "set/images/1.png"), np.zeros((50, 60, 3), np.uint8))
    failed(everypose("data", "crowd", labels, tmp_path / "set/images", "-o", tmp_path / "out"), 1, "1.png", "60 x 50")


def test_backgrounds_without_images(photos, tmp_path, everypose):
    (tmp_path / "none").mkdir()
    failed(everypose("data", "crowd", *photos, "-o", tmp_path / "out", "--backgrounds", tmp_path / "none"), 1, "none")
