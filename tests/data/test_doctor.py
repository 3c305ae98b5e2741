"""The doctor finds each flaw that is planted, with the ids, and invents none."""

import copy
import json
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.coco import read_coco
from everypose.data.doctor import Diagnosis, examine, examine_all
from everypose.data.doctor.fix import turn
from everypose.data.image_header import read_header
from everypose.data.images import read_image
from everypose.errors import EveryposeError
from everypose.skeleton import Skeleton

NAMES = list(Skeleton.named("coco").keypoints)
WIDTH, HEIGHT = 64, 48
REAL = Path(os.environ.get("EVERYPOSE_REAL_DATA", "nowhere"))


def with_exif(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    """A JPEG's bytes with an EXIF segment that holds nothing but the orientation."""
    little = order == "<"
    pack = lambda value, size: value.to_bytes(size, "little" if little else "big")  # noqa: E731
    entry = pack(0x0112, 2) + pack(3, 2) + pack(1, 4) + pack(orientation, 2) + b"\0\0"
    tiff = (b"II" if little else b"MM") + pack(42, 2) + pack(8, 4) + pack(1, 2) + entry + pack(0, 4)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


def jpeg(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    rng = np.random.default_rng(width * 1000 + height)
    return cv2.imencode(".jpg", rng.integers(0, 255, (height, width, 3), np.uint8))[1].tobytes()


def person(number: int, image: int) -> dict:
    keypoints = [value for k in range(17) for value in (5 + k * 2, 6 + k * 2, 1 + k % 2)]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": 17,
        "bbox": [4, 5, 36, 36],
        "area": 700.0,
        "iscrowd": 0,
    }


class Set:
    """A flawless set of twelve images with one person each, in a folder; tests plant flaws in ``content``."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "images").mkdir(parents=True)
        (folder / "annotations").mkdir()
        self.path = folder / "annotations" / "train.json"
        numbers = range(1, 13)
        for number in numbers:
            self.image(number).write_bytes(jpeg())
        self.content = {
            "images": [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in numbers],
            "annotations": [person(100 + n, n) for n in numbers],
            "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": [[16, 14], [14, 12]]}],
        }

    def image(self, number: int) -> Path:
        return self.folder / "images" / f"{number}.jpg"

    def entry(self, number: int) -> dict:
        return self.content["annotations"][number - 1]

    def write(self) -> Path:
        self.path.write_text(json.dumps(self.content))
        return self.path

    def examine(self) -> Diagnosis:
        return examine(self.write()).diagnosis


@pytest.fixture
def data(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def found(diagnosis: Diagnosis) -> dict[str, list[str]]:
    return {flaw.kind.name: list(flaw.examples) for flaw in diagnosis.flaws}


def set_keypoint(entry: dict, keypoint: int, *values: object) -> None:
    entry["keypoints"][3 * keypoint : 3 * keypoint + len(values)] = values


# Each plants one flaw in the image or annotation of its number and names what must be found.
def swapped(data: Set) -> dict:
    data.content["images"][0].update(width=HEIGHT, height=WIDTH)
    return {"swapped_size": ["1.jpg"]}


def wrong_size(data: Set) -> dict:
    data.content["images"][1].update(width=2 * WIDTH, height=2 * HEIGHT)
    return {"wrong_size": ["2.jpg"]}


def no_size(data: Set) -> dict:
    del data.content["images"][2]["width"]
    return {"image_size_missing": ["3.jpg"]}


def missing(data: Set) -> dict:
    data.image(4).unlink()
    return {"missing_file": ["4.jpg"]}


def unreadable(data: Set) -> dict:
    data.image(5).write_bytes(jpeg()[:-200])
    data.image(6).write_bytes(b"not an image")
    return {"unreadable_file": ["5.jpg", "6.jpg"]}


def exif_upright(data: Set) -> dict:
    data.image(7).write_bytes(with_exif(jpeg(HEIGHT, WIDTH), 6))
    return {"exif_rotated": ["7.jpg"]}


def exif_stored(data: Set) -> dict:
    data.image(8).write_bytes(with_exif(jpeg(WIDTH, HEIGHT), 8))
    return {"exif_rotated": ["8.jpg"], "exif_labels_not_turned": ["8.jpg"]}


def exif_and_swapped(data: Set) -> dict:
    data.image(8).write_bytes(with_exif(jpeg(HEIGHT, WIDTH), 8))
    data.content["images"][7].update(width=HEIGHT, height=WIDTH)
    set_keypoint(data.entry(8), 3, 60, 10, 2)  # fits the upright image only
    return {"exif_rotated": ["8.jpg"], "swapped_size": ["8.jpg"]}


def duplicate_image(data: Set) -> dict:
    data.content["images"].append({**data.content["images"][0], "file_name": "12.jpg"})
    return {"duplicate_image_id": ["1"]}


def image_twice(data: Set) -> dict:
    data.content["images"].append(dict(data.content["images"][0]))
    return {"image_listed_twice": ["1"]}


def same_file(data: Set) -> dict:
    data.content["images"].append({**data.content["images"][0], "id": 99})
    return {"duplicate_file_name": ["1.jpg"]}


def image_without_name(data: Set) -> dict:
    data.content["images"].append({"id": 98, "width": 5, "height": 5})
    return {"image_entry": ["no. 12"]}


def wrong_count(data: Set) -> dict:
    data.entry(1)["num_keypoints"] = 3
    return {"num_keypoints": ["101"]}


def no_count(data: Set) -> dict:
    del data.entry(1)["num_keypoints"]
    return {"num_keypoints_missing": ["101"]}


def nobody(data: Set) -> dict:
    data.entry(2).update(keypoints=[0] * 51, num_keypoints=0)
    return {"no_keypoints": ["102"]}


def no_area(data: Set) -> dict:
    del data.entry(3)["area"]
    data.entry(4)["area"] = 0
    return {"no_area": ["103", "104"]}


def box_outside(data: Set) -> dict:
    data.entry(4)["bbox"] = [40, 5, 40, 20]
    data.entry(5)["bbox"] = [-9, 5, 40, 20]
    return {"box_outside": ["104", "105"]}


def empty_box(data: Set) -> dict:
    data.entry(5)["bbox"] = [4, 5, 0, 10]
    data.entry(6)["bbox"] = [4, 5, 10, -3]
    return {"box_size": ["105", "106"]}


def no_box(data: Set) -> dict:
    del data.entry(6)["bbox"]
    return {"no_box": ["106"]}


def keypoint_outside(data: Set) -> dict:
    set_keypoint(data.entry(7), 2, WIDTH + 1, 10, 2)
    set_keypoint(data.entry(8), 2, 10, -1, 1)
    return {"keypoint_outside": ["107", "108"]}


def keypoint_at_origin(data: Set) -> dict:
    set_keypoint(data.entry(8), 0, 0, 0, 2)
    return {"keypoint_at_origin": ["108"]}


def not_finite(data: Set) -> dict:
    set_keypoint(data.entry(9), 0, math.nan, 7, 2)
    set_keypoint(data.entry(10), 0, None)
    data.entry(11)["bbox"][0] = math.inf
    return {"not_finite": ["109", "110", "111"]}


def text(data: Set) -> dict:
    set_keypoint(data.entry(9), 0, "left")
    return {"not_a_number": ["109"]}


def visibility(data: Set) -> dict:
    set_keypoint(data.entry(10), 1, 9, 9, 3)
    return {"visibility": ["110"]}


def few_keypoints(data: Set) -> dict:
    data.entry(11)["keypoints"] = data.entry(11)["keypoints"][:-3]
    return {"keypoint_count": ["111"]}


def duplicate_annotation(data: Set) -> dict:
    data.entry(12)["id"] = 101
    return {"duplicate_annotation_id": ["101"]}


def unknown_image(data: Set) -> dict:
    data.entry(12)["image_id"] = 777
    return {"unknown_image": ["112"]}


def unknown_category(data: Set) -> dict:
    data.entry(12)["category_id"] = 9
    return {"unknown_category": ["112"]}


def no_id(data: Set) -> dict:
    del data.entry(12)["id"]
    return {"annotation_entry": ["no. 11"]}


def crowd(data: Set) -> dict:
    data.entry(12).update(iscrowd=1, keypoints=[0] * 51, num_keypoints=0)
    return {"crowd_region": ["112"]}


def category_name(data: Set) -> dict:
    data.content["categories"][0]["name"] = "dog"
    return {"category_name": ["'dog' for 'person'"]}


def misspelt(data: Set) -> dict:
    data.content["categories"][0]["keypoints"][5] = "left_sholder"
    return {"keypoint_names": ["'left_sholder' for 'left_shoulder' of coco"]}


def name_twice(data: Set) -> dict:
    data.content["categories"][0]["keypoints"][5] = "nose"
    return {"keypoint_names": ["'nose' is used twice"]}


def links(data: Set) -> dict:
    data.content["categories"][0]["skeleton"] = [[1, 2], [17, 18]]
    return {"skeleton_links": ["'person': [17, 18]"]}


def malformed_box(data: Set) -> dict:
    data.entry(3)["bbox"] = [1, 2, 3]
    return {"not_a_number": ["103"]}


def category_without_id(data: Set) -> dict:
    data.content["categories"].append({"name": "dog"})
    return {"category_entry": ["'dog'"]}


def no_names(data: Set) -> dict:
    del data.content["categories"][0]["keypoints"]
    return {"no_keypoint_category": ["'person'"]}


PLANTS = [
    swapped, wrong_size, no_size, missing, unreadable, exif_upright, exif_stored, exif_and_swapped, duplicate_image,
    image_twice, same_file, image_without_name, wrong_count, no_count, nobody, no_area, box_outside, empty_box, no_box,
    keypoint_outside, keypoint_at_origin, not_finite, text, visibility, few_keypoints, duplicate_annotation,
    unknown_image, unknown_category, no_id, crowd, category_name, misspelt, name_twice, links, no_names,
    malformed_box, category_without_id,
]  # fmt: skip


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
    plants = [swapped, wrong_size, no_size, missing, exif_upright, wrong_count, nobody, no_area, box_outside, crowd]
    plants += [keypoint_outside, not_finite, visibility, few_keypoints, links]
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
    swapped(data)
    no_area(data)
    empty_box(data)
    keypoint_at_origin(data)
    duplicate_annotation(data)
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
    exif_stored(data)  # orientation 8: (x, y) -> (y, width - 1 - x)
    fixed = examine(data.write()).corrected()
    assert (fixed["images"][7]["width"], fixed["images"][7]["height"]) == (HEIGHT, WIDTH)
    assert fixed["annotations"][7]["keypoints"][:3] == [6, 63 - 5, 1]
    assert fixed["annotations"][7]["bbox"] == [5, 64 - 40, 36, 36]


def test_without_images_the_labels_are_checked_all_the_same(data: Set) -> None:
    wrong_count(data)
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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_header_tells_what_decoding_does(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix, np.zeros((33, 57, 3), np.uint8))[1].tobytes())
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (57, 33, 1)


def test_header_of_progressive_and_big_endian_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    encoded = cv2.imencode(".jpg", np.zeros((33, 57, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path.write_bytes(with_exif(encoded, 6, ">"))
    assert read_header(path).upright == (33, 57)


@pytest.mark.parametrize("keep", [0, 1, 3, 20, 100, 160, 300])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_files_are_one_line(tmp_path: Path, suffix: str, keep: int) -> None:
    rng = np.random.default_rng(0)
    content = cv2.imencode(suffix, rng.integers(0, 255, (33, 57, 3), np.uint8))[1].tobytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[:keep])
    with pytest.raises(EveryposeError) as error:
        read_header(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


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
