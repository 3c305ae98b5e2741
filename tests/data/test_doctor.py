"""The doctor finds each flaw that is planted, with the ids, and invents none."""

import copy
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import planted_flaws as planted
from data.planted_flaws import HEIGHT, NAMES, PLANTS, WIDTH, Set, with_exif
from everypose.data.doctor import Diagnosis, examine, examine_all
from everypose.data.doctor.fix import turn
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_header, read_image
from everypose.errors import EveryposeError

REAL = Path(os.environ.get("EVERYPOSE_REAL_DATA", "nowhere"))


@pytest.fixture
def data(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def found(diagnosis: Diagnosis) -> dict[str, list[str]]:
    return {flaw.kind.name: list(flaw.examples) for flaw in diagnosis.flaws}


def test_flawless_set_has_no_flaws(data: Set) -> None:
    diagnosis = data.examine()
    assert found(diagnosis) == {}
    assert diagnosis.notes == []
    assert diagnosis.readable
    assert (diagnosis.images, diagnosis.persons, diagnosis.skeleton) == (12, 12, "coco")
    assert diagnosis.image_root == data.folder / "images"


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_planted_flaw_is_found_and_no_other(data: Set, plant) -> None:
    expected = plant(data)
    diagnosis = data.examine()
    assert found(diagnosis) == expected
    assert {flaw.kind.name: flaw.count for flaw in diagnosis.flaws} == {k: len(v) for k, v in expected.items()}
    assert diagnosis.readable == all(flaw.kind.severity in ("repaired", "informs") for flaw in diagnosis.flaws)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_fixed_copy_has_nothing_left_to_repair(data: Set, plant) -> None:
    plant(data)
    data.write()
    examined = examine(data.path)
    before = copy.deepcopy(examined.content)
    data.content = examined.corrected()
    # == does not see a NaN as itself, its text does
    assert json.dumps(examined.content) == json.dumps(before)
    left = {flaw.kind.name for flaw in data.examine().flaws}
    for_a_person = {"category_entry", "keypoint_names", "no_keypoint_category", "wrong_size", "visibility"}
    informs = {
        "no_keypoints",
        "crowd_region",
        "keypoint_outside",
        "exif_rotated",
        "category_name",
        "duplicate_file_name",
    }
    assert left <= for_a_person | informs


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_what_reading_repairs_can_be_read(data: Set, plant) -> None:
    plant(data)
    diagnosis = data.examine()
    if diagnosis.readable:
        scenes = read_coco(data.path, data.folder / "images")
        assert len(scenes) >= 12
        assert all(np.isfinite(scene.keypoints).all() and (scene.areas > 0).all() for scene in scenes)
        if any(flaw.kind.severity == "repaired" and flaw.subject == "annotations" for flaw in diagnosis.flaws):
            told = {flaw.kind.name for flaw in diagnosis.flaws}
            assert scenes.repairs or told == {"num_keypoints_missing"}


def test_all_flaws_at_once(tmp_path: Path) -> None:
    """One set for each flaw would not show that one hides another: here they are all in one, each on its own person."""
    data = Set(tmp_path / "all")
    expected: dict[str, list[str]] = {}
    plants = [
        planted.swapped,
        planted.wrong_size,
        planted.no_size,
        planted.missing,
        planted.exif_upright,
        planted.wrong_count,
        planted.nobody,
        planted.no_area,
        planted.box_outside,
        planted.crowd,
    ]
    plants += [planted.keypoint_outside, planted.not_finite, planted.visibility, planted.few_keypoints, planted.links]
    for plant in plants:
        for name, where in plant(data).items():
            expected.setdefault(name, []).extend(where)
    actual = found(data.examine())
    assert {name: sorted(where) for name, where in actual.items()} == {k: sorted(v) for k, v in expected.items()}


def test_fix_keeps_what_is_right_to_the_digit(data: Set) -> None:
    data.entry(1).update(bbox=[4.25, 5.125, 30.1, 36.7], area=123.456, attributes={"occluded": True})
    data.write()
    assert examine(data.path).corrected() == data.content


def test_fix_repairs_values(data: Set) -> None:
    planted.swapped(data)
    planted.no_area(data)
    planted.empty_box(data)
    planted.keypoint_at_origin(data)
    planted.duplicate_annotation(data)
    data.entry(9)["bbox"] = [-4, 5, 20, 100]
    fixed = examine(data.write()).corrected()
    assert (fixed["images"][0]["width"], fixed["images"][0]["height"]) == (WIDTH, HEIGHT)
    people = fixed["annotations"]
    assert people[2]["area"] == pytest.approx(0.53 * 36 * 36)
    assert people[4]["bbox"] == [5, 6, 32, 32]
    assert people[7]["keypoints"][:3] == [0, 0, 0]
    assert people[7]["num_keypoints"] == 16
    assert people[8]["bbox"] == [0, 5, 16, 43]
    assert people[11]["id"] == 112


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turning_labels_is_turning_pixels(tmp_path: Path, orientation: int) -> None:
    """The pixel that a keypoint marks in the stored frame is the one that it marks when the picture is upright."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[8:16, 40:48] = 255  # one JPEG block, whose middle is at (43.5, 11.5)
    path = tmp_path / "a.jpg"
    path.write_bytes(with_exif(cv2.imencode(".jpg", frame)[1].tobytes(), orientation))
    upright = read_image(path)
    assert upright.shape[1::-1] == read_header(path).upright
    y, x = np.nonzero(upright[..., 0] > 128)
    turned = turn(np.array([[43.5, 11.5]]), 63, 47, orientation)[0]
    np.testing.assert_allclose(turned, (x.mean(), y.mean()), atol=0.1)


def test_fix_turns_labels_of_the_stored_frame(data: Set) -> None:
    planted.exif_stored(data)  # orientation 8: (x, y) -> (y, width - 1 - x)
    fixed = examine(data.write()).corrected()
    assert (fixed["images"][7]["width"], fixed["images"][7]["height"]) == (HEIGHT, WIDTH)
    assert fixed["annotations"][7]["keypoints"][:3] == [6, 63 - 5, 1]
    assert fixed["annotations"][7]["bbox"] == [5, 64 - 40, 36, 36]


def test_without_images_the_labels_are_checked_all_the_same(data: Set) -> None:
    planted.wrong_count(data)
    for path in (data.folder / "images").iterdir():
        path.unlink()
    diagnosis = data.examine()
    assert found(diagnosis) == {"num_keypoints": ["101"]}
    assert diagnosis.image_root is None
    assert "--images" in diagnosis.notes[0]


def test_images_in_a_named_folder_are_missing_when_they_are_not_there(data: Set, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    diagnosis = examine(data.write(), tmp_path / "empty").diagnosis
    assert [(flaw.kind.name, flaw.count) for flaw in diagnosis.flaws] == [("missing_file", 12)]


def test_links_of_an_own_skeleton(data: Set) -> None:
    category = data.content["categories"][0]
    category["keypoints"] = [f"left_p{i}" if i % 2 else f"right_p{i + 1}" for i in range(16)] + ["tail"]
    category["skeleton"] = [[1, 2], [2, "nose"]]
    assert found(data.examine()) == {"skeleton_links_unusable": ["'person': [2, 'nose']"]}
    with pytest.raises(EveryposeError):
        read_coco(data.path, data.folder)
    category["skeleton"] = [[1, 2], [2, 40]]
    assert found(data.examine()) == {"skeleton_links": ["'person': [2, 40]"]}
    assert read_coco(data.path, data.folder).skeleton.links == ((0, 1),)
    category["skeleton"] = [[0, 1], [2, 16]]
    assert found(data.examine()) == {"skeleton_links": ["'person': [0, 1]"]}
    read_coco(data.path, data.folder)


def test_macaques_with_coco_keypoints_are_not_misnamed(data: Set) -> None:
    data.content["categories"][0].update(name="macaque", supercategory="animal")
    assert found(data.examine()) == {}


def test_odd_json_values_do_not_stop_it(data: Set) -> None:
    data.content["images"] += [None, 3, {"id": [1], "file_name": 4}]
    data.content["annotations"] += [None, [], {"id": {}, "image_id": [], "keypoints": 3, "bbox": "x", "area": 10**400}]
    data.content["categories"] += [None, "person", {"id": 2, "keypoints": "nose"}]
    diagnosis = data.examine()
    assert not diagnosis.readable
    json.dumps(examine(data.path).corrected(), allow_nan=False)
    json.dumps(diagnosis.to_dict(), allow_nan=False)


@pytest.mark.parametrize("number", [1e60, 1e308, 10**400])
def test_coordinates_that_no_picture_has(data: Set, number: float) -> None:
    keypoints = data.content["annotations"][0]["keypoints"]
    data.content["annotations"][0]["bbox"][1] = number
    keypoints[keypoints.index(2) - 2] = number
    assert "not_finite" in found(data.examine())
    json.dumps(examine(data.path).corrected(), allow_nan=False)
    read_coco(data.path, data.folder)


def test_folder_with_several_files(data: Set) -> None:
    data.write()
    (data.folder / "annotations" / "val.json").write_text(json.dumps(data.content))
    (data.folder / "annotations" / "captions.json").write_text(
        json.dumps({"images": [], "annotations": [{"caption": "a dog"}], "categories": []})
    )
    (data.folder / "notes.json").write_text("{}")
    names = [examined.diagnosis.annotation_file.name for examined in examine_all(data.folder)]
    assert names == ["train.json", "val.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "results are scored"),
        ("{}", "no list 'images'"),
        ('{"images": [], "annotations": {}, "categories": []}', "no list 'annotations'"),
        ("{", "not valid JSON"),
    ],
)
def test_what_is_no_annotation_file_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(EveryposeError, match=said) as error:
        examine(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_empty_set_is_noted(tmp_path: Path) -> None:
    category = {"id": 1, "name": "person", "keypoints": NAMES}
    (tmp_path / "a.json").write_text(json.dumps({"images": [], "annotations": [], "categories": [category]}))
    diagnosis = examine(tmp_path / "a.json").diagnosis
    assert diagnosis.notes == ["the file lists no images", "the file has no annotations"]


@pytest.mark.skipif(not REAL.exists(), reason="EVERYPOSE_REAL_DATA names no folder with crowdpose_val.json")
def test_real_crowdpose() -> None:
    """Counted apart from the doctor: a plain loop over the file, and what is known of it."""
    content = json.loads((REAL / "crowdpose_val.json").read_bytes())
    people = content["annotations"]
    counts = [sum(v > 0 for v in entry["keypoints"][2::3]) for entry in people]
    expected = {
        "skeleton_links": 1,
        "num_keypoints": sum(n != entry["num_keypoints"] for n, entry in zip(counts, people, strict=True)),
        "no_area": sum("area" not in entry for entry in people),
        "crowd_region": sum(entry["iscrowd"] for entry in people),
        "no_keypoints": sum(n == 0 and not entry["iscrowd"] for n, entry in zip(counts, people, strict=True)),
        "keypoint_outside": 8,
    }
    diagnosis = examine(REAL / "crowdpose_val.json").diagnosis
    assert {flaw.kind.name: flaw.count for flaw in diagnosis.flaws} == expected
    assert diagnosis.readable


@pytest.mark.skipif(not REAL.exists(), reason="EVERYPOSE_REAL_DATA names no folder with coco_photos")
@pytest.mark.parametrize("name", ["train.json", "dev.json"])
def test_real_coco_photos_have_no_flaw(name: str) -> None:
    diagnosis = examine(REAL / "coco_photos" / name).diagnosis
    assert {flaw.kind.name for flaw in diagnosis.flaws} == {"crowd_region", "no_keypoints"}


def test_shares_of_the_image_size_are_named_and_refused(data: Set) -> None:
    expected = planted.normalized(data)
    diagnosis = data.examine()
    assert {name: examples for name, examples in found(diagnosis).items() if name in expected} == expected
    with pytest.raises(EveryposeError, match="between 0 and 1"):
        read_coco(data.path, data.folder / "images")


def test_fixed_ids_and_flags_are_numbers(data: Set) -> None:
    planted.text_ids(data)
    planted.crowd_text(data)
    fixed = examine(data.write()).corrected()
    assert all(type(entry["image_id"]) is int for entry in fixed["annotations"])
    assert fixed["annotations"][2]["iscrowd"] == 0


@pytest.mark.parametrize("key", ["1e5", "+7", "1_000", "٣.٥"])
def test_texts_that_reading_takes_for_no_id_are_flaws_and_get_new_ids(data: Set, key: str) -> None:
    data.entry(4)["id"] = key
    assert found(data.examine())["annotation_entry"] == [key]
    with pytest.raises(EveryposeError, match="id must be a whole number"):
        read_coco(data.path, data.folder / "images")
    data.content = examine(data.path).corrected()
    assert "annotation_entry" not in found(data.examine())
    assert len(read_coco(data.path, data.folder / "images")) == 12


@pytest.mark.parametrize("categories", [["unnamed"], ["unnamed", "mouse"]])
def test_keypoints_that_no_category_names_are_kept(data: Set, categories: list[str]) -> None:
    before = copy.deepcopy([data.entry(number) for number in range(1, 13)])
    [named] = data.content["categories"]
    mouse = {**named, "id": 2, "name": "mouse", "keypoints": ["nose", "tail"]}
    unnamed = {"id": 1, "name": "person"}
    data.content["categories"] = [{"unnamed": unnamed, "mouse": mouse}[name] for name in categories]
    fixed = examine(data.write()).corrected()["annotations"]
    fields = ("id", "keypoints", "num_keypoints")
    assert [[entry[field] for field in fields] for entry in fixed] == [[e[field] for field in fields] for e in before]
