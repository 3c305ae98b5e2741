import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.discovery.layouts import find_data
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton


def put(root: Path, annotation_file: str, image: str, file_name: str | None = None, image_id: int = 1) -> None:
    """A data set of one image at these places."""
    (root / image).parent.mkdir(parents=True, exist_ok=True)
    (root / annotation_file).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / image), np.zeros((8, 9, 3), np.uint8))
    skeleton = Skeleton.named("crowdpose" if "crowdpose" in annotation_file else "coco")
    entry = {"id": image_id, "file_name": file_name or Path(image).name, "width": 9, "height": 8}
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}
    content = {"info": {}, "images": [entry], "annotations": [], "categories": [category]}
    (root / annotation_file).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("annotation_file", "image", "split", "dataset"),
    [
        ("annotations/person_keypoints_val2017.json", "val2017/a.jpg", "val", "coco"),
        ("annotations/person_keypoints_train2017.json", "images/train2017/a.jpg", "train", "coco"),
        ("annotations/coco_train.json", "images/a.jpg", "train", "coco"),
        ("annotations/coco_val.json", "images/val2017/a.jpg", "val", "coco"),
        ("annotations/crowdpose_trainval.json", "images/a.jpg", "trainval", "crowdpose"),
        ("annotations/crowdpose_test.json", "images/a.jpg", "test", "crowdpose"),
        ("annotations/mmpose_crowdpose_val.json", "images/a.jpg", "val", "crowdpose"),
        ("json/crowdpose_test.json", "images/a.jpg", "test", "crowdpose"),
        ("annotations/ochuman_val.json", "images/a.jpg", "val", "ochuman"),
        ("ochuman_coco_format_test_range_0.00_1.00.json", "images/a.jpg", "test", "ochuman"),
        ("annotations/ochuman_coco_format_val_range_0.00_1.00.json", "images/a.jpg", "val", "ochuman"),
        ("annotations/person_keypoints_yard.json", "images/yard/a.jpg", "yard", None),  # CVAT, its subset's own name
        ("annotations/person_keypoints_default.json", "images/a.jpg", "default", None),
        ("valid/_annotations.coco.json", "valid/a.jpg", "val", None),  # Roboflow
        ("train/_annotations.coco.json", "train/a.jpg", "train", None),
        ("dev.json", "images/a.jpg", "dev", None),
        ("result.json", "images/a.jpg", "train", None),  # Label Studio
    ],
)
@pytest.mark.parametrize("name_it", [False, True])
def test_layouts_are_found(
    tmp_path: Path, annotation_file: str, image: str, split: str, dataset: str | None, name_it: bool
) -> None:
    put(tmp_path, annotation_file, image)
    layout = find_data(tmp_path, split, dataset if name_it else None)
    assert layout.annotation_file == tmp_path / annotation_file
    assert layout.image_root == (tmp_path / image).parent
    assert layout.dataset == layout.skeleton_name == dataset
    scenes = layout.read()
    assert scenes.scenes[0].path.is_file()


@pytest.mark.parametrize("folder", ["crowdpose", "CrowdPose"])
def test_data_set_in_a_folder_of_its_name(tmp_path: Path, folder: str) -> None:
    put(tmp_path / folder, "annotations/mmpose_crowdpose_val.json", "images/a.jpg")
    assert find_data(tmp_path, "val", "crowdpose").image_root == tmp_path / folder / "images"
    assert find_data(tmp_path, "val").dataset == "crowdpose"


def test_ones_own_set_is_found_whatever_the_data_set(tmp_path: Path) -> None:
    put(tmp_path, "train/_annotations.coco.json", "train/a.jpg")
    assert find_data(tmp_path, "train", "coco").skeleton_name is None


@pytest.mark.parametrize("file_name", ["images/a.jpg", "../upload/7/a.jpg", "C:\\pictures\\a.jpg"])
def test_folders_in_file_names(tmp_path: Path, file_name: str) -> None:
    put(tmp_path, "result.json", "images/a.jpg", file_name)
    assert find_data(tmp_path, "train").read().scenes[0].path.is_file()


@pytest.mark.parametrize("file_name", ["b\u00e4r.jpg", "\U0001f43b.jpg", 'a "b".jpg'])
def test_names_that_json_escapes(tmp_path: Path, file_name: str) -> None:
    put(tmp_path, "annotations/coco_val.json", f"images/{file_name}")
    assert "\\" in (tmp_path / "annotations/coco_val.json").read_text()
    assert find_data(tmp_path, "val").image_root == tmp_path / "images"


def test_trainval_is_joined_from_its_parts(tmp_path: Path) -> None:
    put(tmp_path, "json/crowdpose_train.json", "images/a.jpg", image_id=1)
    put(tmp_path, "json/crowdpose_val.json", "images/b.jpg", image_id=2)
    layout = find_data(tmp_path, "trainval", "crowdpose")
    assert [path.name for path in layout.annotation_files] == ["crowdpose_train.json", "crowdpose_val.json"]
    scenes = layout.read()
    assert [scene.file_name for scene in scenes] == ["a.jpg", "b.jpg"]
    assert scenes.skeleton.name == "crowdpose"
    put(tmp_path, "json/crowdpose_trainval.json", "images/a.jpg")
    assert len(find_data(tmp_path, "trainval", "crowdpose").annotation_files) == 1


def test_parts_with_images_in_different_folders_are_not_joined(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val")):
        put(tmp_path, f"annotations/person_keypoints_{split}2017.json", f"{split}2017/a.jpg", image_id=number)
    with pytest.raises(EveryposeError, match=r"train and val are in different folders, .*train2017 and .*val2017"):
        find_data(tmp_path, "trainval")
    assert find_data(tmp_path, "val").image_root == tmp_path / "val2017"


def test_export_without_splits_is_not_joined_with_itself(tmp_path: Path) -> None:
    put(tmp_path, "result.json", "images/a.jpg")
    assert len(find_data(tmp_path, "trainval").annotation_files) == 1


def test_several_data_sets_need_a_name(tmp_path: Path) -> None:
    put(tmp_path, "annotations/coco_val.json", "images/a.jpg")
    put(tmp_path, "annotations/ochuman_val.json", "images/b.jpg")
    with pytest.raises(UsageError, match="coco and ochuman"):
        find_data(tmp_path, "val")
    assert find_data(tmp_path, "val", "ochuman").dataset == "ochuman"


def test_what_was_looked_for_is_listed(tmp_path: Path) -> None:
    with pytest.raises(EveryposeError, match=r"annotations/person_keypoints_val2017\.json") as error:
        find_data(tmp_path, "val", "coco")
    assert "json/crowdpose" not in str(error.value)
    assert "val/_annotations.coco.json" in str(error.value)
    with pytest.raises(EveryposeError, match="not a folder"):
        find_data(tmp_path / "none", "val")


def test_missing_images_are_named(tmp_path: Path) -> None:
    put(tmp_path, "annotations/coco_val.json", "elsewhere/a.jpg")
    with pytest.raises(EveryposeError, match=r"coco_val\.json is there, but its image a\.jpg is not"):
        find_data(tmp_path, "val")
    (tmp_path / "annotations/coco_val.json").write_text("")
    with pytest.raises(EveryposeError, match="cannot read"):
        find_data(tmp_path, "val")


def test_mpii(tmp_path: Path) -> None:
    put(tmp_path, "unused.json", "images/015.jpg")
    joints = [[float(index + 1), 2.0] for index in range(16)]
    person = {"image": "015.jpg", "center": [5.0, 4.0], "scale": 0.1, "joints": joints, "joints_vis": [1] * 15 + [0]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/mpii_val.json").write_text(json.dumps([person, person]))
    scenes = find_data(tmp_path, "val").read()
    assert scenes.skeleton.name == "mpii"
    scene = scenes.scenes[0]
    assert (len(scenes), len(scene), scene.width, scene.height) == (1, 2, 9, 8)
    assert scene.boxes[0].tolist() == [-6, -7, 14, 13]  # 20 pixels tall; MPII counts pixels from 1
    assert scene.keypoints[0, 2].tolist() == [2, 1, 2]
    assert scene.keypoints[0, 15].tolist() == [0, 0, 0]
    (tmp_path / "annotations/mpii_val.json").write_text(json.dumps([{"image": "015.jpg"}]))
    with pytest.raises(EveryposeError, match="not an MPII annotation list"):
        find_data(tmp_path, "val").read()
