import json
from dataclasses import fields

import numpy as np
import pytest

from bulk.tar_files import png, tar_of
from everypose.data.formats.coco import read_coco
from everypose.data.formats.tar_set import names_tars, read_tar_set
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

SKELETON = Skeleton.named("coco")


def person(number):
    keypoints = np.random.default_rng(number).uniform(1, 60, (17, 3)).round(2)
    keypoints[:, 2] = 2
    return {"keypoints": keypoints.ravel().tolist(), "bbox": [1, 2, 30 + number, 40], "area": 700.5, "iscrowd": 0}


@pytest.fixture
def folder(tmp_path):
    """Six images in two folders with annotations, the same in two tars with and without JSON files."""
    images, annotations, with_json = [], [], []
    for number in range(6):
        name = f"{number // 3}/{number}.png"
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(50 + number))
        people = [person(10 * number + each) for each in range(number % 3)]
        images.append({"id": number + 1, "file_name": name, "width": 64, "height": 64})
        for own in people:
            extra = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": 1}
            annotations.append({**own, **extra})
        sides = {"width": 64, "height": 64} if number else {}  # read from the image if they are missing
        content = people if number == 5 else {"annotations": people, **sides}
        with_json.append([(name, path.read_bytes()), (name.replace("png", "json"), json.dumps(content).encode())])
    categories = [{"id": 1, "name": "person", "keypoints": list(SKELETON.keypoints)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "all.json").write_text(json.dumps(content))
    for shard in range(2):
        members = with_json[3 * shard : 3 * shard + 3]
        (tmp_path / f"json-{shard}.tar").write_bytes(tar_of([file for pair in members for file in pair]))
        (tmp_path / f"set-{shard}.tar").write_bytes(tar_of([pair[0] for pair in members]))
    return tmp_path


def assert_same(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for field in fields(left):
            if field.name not in ("path", "member"):
                np.testing.assert_equal(getattr(left, field.name), getattr(right, field.name), field.name)
        np.testing.assert_array_equal(left.read_image(), right.read_image())
    assert one.skeleton.keypoints == other.skeleton.keypoints


@pytest.mark.parametrize("name", ["set-{0..1}.tar", "set-*.tar"])
def test_tars_have_the_scenes_of_the_folder(folder, name):
    assert_same(
        read_tar_set(str(folder / name), folder / "all.json"), read_coco(folder / "all.json", folder / "images")
    )


def test_json_files_in_the_tars_are_the_annotations(folder):
    expected = read_coco(folder / "all.json", folder / "images", SKELETON)
    assert_same(read_tar_set(str(folder / "json-{0..1}.tar"), skeleton=SKELETON), expected)


def test_names_without_folders(folder):
    (folder / "set-0.tar").write_bytes(tar_of([(f"x/{n}.png", png(50 + n)) for n in range(6)]))
    found = read_tar_set(str(folder / "set-0.tar"), folder / "all.json")
    assert found.repairs == ["6 file names were taken without their folders"]
    assert_same(found, read_coco(folder / "all.json", folder / "images"))
    assert found.scenes[0].path == folder / "set-0.tar" / "x" / "0.png"


def test_what_cannot_be_used_is_named(folder):
    with pytest.raises(EveryposeError, match=r"all\.json: 3 images are in none of the tars, such as '1/3\.png'"):
        read_tar_set(str(folder / "set-0.tar"), folder / "all.json")
    with pytest.raises(UsageError, match=r"no such file or folder: .*set-7\.tar"):
        read_tar_set(str(folder / "set-7.tar"), folder / "all.json")
    with pytest.raises(EveryposeError, match=r"give data\.skeleton"):
        read_tar_set(str(folder / "json-0.tar"))
    with pytest.raises(EveryposeError, match=r"set-0\.tar/0/0\.png has no JSON file"):
        read_tar_set(str(folder / "set-0.tar"), skeleton=SKELETON)
    (folder / "twice.tar").write_bytes(tar_of([("0/0.png", png(1)), ("0/0.png", png(2))]))
    content = json.loads((folder / "all.json").read_text())
    first = {**content, "images": content["images"][:1], "annotations": []}
    (folder / "first.json").write_text(json.dumps(first))
    with pytest.raises(EveryposeError, match=r"'0/0\.png' is there twice"):
        read_tar_set(str(folder / "twice.tar"), folder / "first.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not JSON"),
        (b"{}", "has no annotations"),
        (b"[1]", "has no annotations"),
        (b'[{"keypoints": [1, 2]}]', "keypoints must be a list of x, y, visibility"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_damaged_json_is_named(tmp_path, content, problem):
    (tmp_path / "a.tar").write_bytes(tar_of([("1.png", png(9)), ("1.json", content)]))
    with pytest.raises(EveryposeError, match=problem):
        read_tar_set(str(tmp_path / "a.tar"), skeleton=SKELETON)


def test_other_categories_are_left_out(tmp_path):
    people = [person(1), {**person(2), "category_id": 1}, {**person(3), "category_id": 7}]
    (tmp_path / "a.tar").write_bytes(tar_of([("1.png", png(9)), ("1.json", json.dumps(people).encode())]))
    (scene,) = read_tar_set(str(tmp_path / "a.tar"), skeleton=SKELETON)
    assert len(scene) == 2


def test_names_of_tars():
    assert names_tars("train-{0..9}.tar")
    assert names_tars("train.tar.gz")  # refused later, with the reason
    assert not names_tars("images")
