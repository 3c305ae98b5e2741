"""Conversions between data set formats: round trips, tools' exports, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.coco_set import coco, image
from everypose.data.discovery.layouts import find_data
from everypose.data.formats.coco import coco_content
from everypose.data.formats.convert import join, read_any, write_coco
from everypose.data.formats.mpii import read_mpii
from everypose.data.formats.split import Split, inside_name, split_name
from everypose.data.formats.yolo_writing import write_yolo
from everypose.errors import EveryposeError


def test_mpii(tmp_path: Path) -> None:
    image(tmp_path / "images" / "1.jpg", 300, 200)
    joints = [[10.0 + k, 20.0 + 2 * k] for k in range(16)]
    people = [
        {"image": "1.jpg", "center": [101, 81], "scale": 0.5, "joints": joints, "joints_vis": [1] * 15 + [0]},
        {"image": "1.jpg", "center": [201, 81], "scale": 0.25, "joints": joints, "joints_vis": [0] * 16},
    ]
    (tmp_path / "mpii_val.json").write_text(json.dumps(people))
    (split,) = read_any(tmp_path / "mpii_val.json")
    assert split.name == "val"
    first, second = split.content["annotations"]
    assert first["keypoints"][:6] == [9, 19, 2, 10, 21, 2]
    assert first["keypoints"][-3:] == [0, 0, 0]
    assert first["num_keypoints"] == 15
    assert first["bbox"] == [50, 30, 100, 100]
    assert second["num_keypoints"] == 0
    assert split.content["images"] == [{"id": 1, "file_name": "1.jpg", "width": 300, "height": 200}]
    scenes = read_mpii(tmp_path / "mpii_val.json", tmp_path / "images")
    assert coco_content(scenes) == split.content


def test_mpii_without_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "mpii_val.json").write_text(json.dumps([{"image": "1.jpg"}]))
    with pytest.raises(EveryposeError, match="--images"):
        read_any(tmp_path / "mpii_val.json")


def test_label_studio(tmp_path: Path) -> None:
    """As its converter writes it: rectangles and keypoints apart, ids from 0, one set of keypoints an image."""
    names = ["nose", "left_paw", "right_paw"]
    content = {
        "images": [
            {"width": 90, "height": 70, "id": 0, "file_name": "../../files/?d=photos/3f2a-dog.jpg"},
            {"width": 90, "height": 70, "id": 1, "file_name": "images\\two.jpg"},
        ],
        "categories": [
            {"id": 0, "name": "dog"},
            {"id": 1, "name": "default", "supercategory": "default", "keypoints": names, "skeleton": []},
        ],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [], "bbox": [5, 5, 60, 50], "area": 3000},
            {
                "id": 1, "image_id": 0, "category_id": 1, "keypoints": [10, 10, 2, 0, 0, 0, 30, 40, 2],
                "num_keypoints": 2, "bbox": [10, 10, 20, 30], "iscrowd": 0,
            },
            {"id": 2, "image_id": 1, "category_id": 0, "bbox": [0, 0, 20, 20], "area": 400, "iscrowd": 0},
            {"id": 3, "image_id": 1, "category_id": 0, "bbox": [30, 30, 40, 40], "area": 1600, "iscrowd": 0},
            {
                "id": 4, "image_id": 1, "category_id": 1, "keypoints": [35, 40, 2, 40, 50, 2, 60, 65, 2],
                "num_keypoints": 3, "bbox": [35, 40, 25, 25], "iscrowd": 0,
            },
        ],
        "info": {"contributor": "Label Studio"},
    }  # fmt: skip
    (tmp_path / "result.json").write_text(json.dumps(content))
    (split,) = read_any(tmp_path / "result.json")
    assert [category["name"] for category in split.content["categories"]] == ["default"]
    assert [entry["file_name"] for entry in split.content["images"]] == ["photos/3f2a-dog.jpg", "images/two.jpg"]
    first, second, third = split.content["annotations"]
    assert first["bbox"] == [5, 5, 60, 50]
    assert second["bbox"] == [30, 30, 40, 40]
    assert third["bbox"] == [0, 0, 20, 20]
    assert third["num_keypoints"] == 0
    assert third["category_id"] == 1
    assert len({entry["id"] for entry in split.content["annotations"]}) == 3
    assert all(entry["id"] > 0 and entry["area"] > 0 for entry in split.content["annotations"])
    assert any("several rectangles" in note for note in split.notes)


def cvat(folder: Path) -> Path:
    """As CVAT exports COCO keypoints: a category for each label, attributes, no area in some, subset 'default'."""
    names = [f"{side}_{part}" for part in ("ear", "paw", "hip", "foot") for side in ("left", "right")] + ["nose"]
    image(folder / "images" / "default" / "cat.png", 80, 60)
    keypoints = [value for k in range(9) for value in (10 + 5 * k, 20.5 + k, 1 + k % 2)]
    content = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "description": ""},
        "categories": [
            {"id": 1, "name": "cat", "supercategory": "", "keypoints": names, "skeleton": [[1, 2], [9, 1]]},
            {"id": 2, "name": "box", "supercategory": ""},
        ],
        "images": [{"id": 1, "width": 80, "height": 60, "file_name": "cat.png", "license": 0, "coco_url": ""}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "area": 0.0, "bbox": [9, 19, 43, 11],
                "iscrowd": 0, "attributes": {"occluded": False}, "keypoints": keypoints, "num_keypoints": 9,
            },
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0},
        ],
    }  # fmt: skip
    (folder / "annotations").mkdir()
    (folder / "annotations" / "person_keypoints_default.json").write_text(json.dumps(content))
    return folder


def test_cvat_export_becomes_a_set_that_training_finds(tmp_path: Path) -> None:
    splits = read_any(cvat(tmp_path / "cvat"))
    assert [len(split.content["annotations"]) for split in splits] == [1]
    assert splits[0].content["annotations"][0]["area"] == pytest.approx(0.53 * 43 * 11)
    assert any("categories without keypoints" in note for note in splits[0].notes)
    splits[0].name = "train"
    write_coco(splits, tmp_path / "mine", copy=False)
    scenes = find_data(tmp_path / "mine", "train").read()
    assert len(scenes.skeleton) == 9
    assert scenes.scenes[0].path.exists()
    np.testing.assert_array_equal(scenes.scenes[0].keypoints[0, 0], [10, 20.5, 1])


def test_join(tmp_path: Path) -> None:
    contents = [json.loads(coco(tmp_path, name, seed).read_text()) for seed, name in enumerate(("train", "val"))]
    for entry in [*contents[1]["images"], *contents[1]["annotations"]]:
        key = "image_id" if "image_id" in entry else "id"
        entry[key] += 100
        entry["file_name"] = f"v{entry.get('file_name')}"
    joined = join([("a", contents[0]), ("b", contents[1])])
    assert len(joined["images"]) == 8
    assert len(joined["annotations"]) == 12
    assert len({entry["id"] for entry in joined["annotations"]}) == 12
    assert joined["annotations"][:6] == contents[0]["annotations"]
    assert [entry["bbox"] for entry in joined["annotations"][6:]] == [e["bbox"] for e in contents[1]["annotations"]]
    twice = join([("a", contents[0]), ("a again", contents[0])])
    assert (twice["images"], twice["annotations"]) == (contents[0]["images"], contents[0]["annotations"])


def test_join_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    a, b = (json.loads(coco(tmp_path, name).read_text()) for name in ("a", "b"))
    b["images"][0]["file_name"] = "other.png"
    with pytest.raises(EveryposeError, match=r"image id 1 is 000001\.png, but other\.png in b"):
        join([("a", a), ("b", b)])
    b["images"][0]["file_name"] = a["images"][0]["file_name"]
    b["annotations"][0]["keypoints"][0] += 1
    with pytest.raises(EveryposeError, match=r"4 images of b .* \(first: 1\), with other annotations"):
        join([("a", a), ("b", b)])
    b["categories"][0]["keypoints"] = ["nose"]
    with pytest.raises(EveryposeError, match="keypoints differ"):
        join([("a", a), ("b", b)])


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("person_keypoints_train2017.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("dev.json", "val"),
        ("mmpose_crowdpose_trainval.json", "trainval"),
        ("crowdpose_test.json", "test"),
        ("annotations/mine.json", "mine"),
    ],
)
def test_split_names(name: str, split: str) -> None:
    assert split_name(Path(name)) == split


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\etc\\passwd", "./etc/../etc/passwd"])
def test_names_stay_inside(name: str) -> None:
    assert inside_name(name) in ("etc/passwd", "etc/etc/passwd")


def test_images_are_never_overwritten(tmp_path: Path) -> None:
    splits = read_any(coco(tmp_path, "val"))
    target = tmp_path / "out" / "images" / "val" / "000001.png"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"something else")
    with pytest.raises(EveryposeError, match="is there already"):
        write_coco(splits, tmp_path / "out", copy=False)
    assert target.read_bytes() == b"something else"


def test_images_not_at_hand_are_one_line(tmp_path: Path) -> None:
    path = coco(tmp_path, "val")
    split = Split("val", json.loads(path.read_text()), None)
    with pytest.raises(EveryposeError, match="--images"):
        write_coco([split], tmp_path / "out", copy=False)
    with pytest.raises(EveryposeError, match="--images"):
        write_yolo([split], tmp_path / "out", copy=False)
    write_coco([split], tmp_path / "only.json", copy=False)
    assert json.loads((tmp_path / "only.json").read_text()) == split.content


@pytest.mark.parametrize("name", ["nothing", "set.zip", "empty"])
def test_what_is_no_data_set_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(EveryposeError) as error:
        read_any(tmp_path / name)
    assert "\n" not in str(error.value)
