"""No file name of an annotation file reaches outside of the folder of the images, and only images are taken."""

import json
from pathlib import Path

import pytest

from data.coco_set import coco
from everypose.data.discovery.annotation_files import contained, expected_path, image_path
from everypose.data.formats.coco import read_coco
from everypose.data.formats.convert import read_any, write_coco
from everypose.data.formats.mpii import read_mpii
from everypose.data.formats.yolo_writing import write_yolo
from everypose.errors import EveryposeError

OUTSIDE = ["../secret.txt", "../../secret.txt", "/etc/passwd", "a/../../secret.txt", "..", ".", "", "a\0b"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("TOP SECRET")
    (tmp_path / "images").mkdir()
    assert contained(tmp_path / "images", name) is None
    assert image_path(tmp_path / "images", name) is None
    with pytest.raises(EveryposeError, match="not inside the folder"):
        expected_path(tmp_path / "images", name)


def test_names_that_stay(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    assert image_path(tmp_path, "sub/../sub/a.jpg") == tmp_path / "sub" / "a.jpg"
    assert image_path(tmp_path, "sub\\a.jpg") == tmp_path / "sub" / "a.jpg"
    assert image_path(tmp_path, str(tmp_path / "sub" / "a.jpg")) == tmp_path / "sub" / "a.jpg"
    assert image_path(tmp_path, "C:\\photos\\b.jpg") == tmp_path / "b.jpg"


@pytest.mark.parametrize("name", ["../secret.txt", "secret.txt", "link.jpg"])
@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_nothing_but_images_of_the_folder_is_published(tmp_path: Path, name: str, write) -> None:
    path = coco(tmp_path / "set", "train")
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    (split,) = read_any(path)
    assert split.image_root is not None
    (split.image_root.parent / "secret.txt").write_text("TOP SECRET\n")
    (split.image_root / "secret.txt").write_text("TOP SECRET\n")
    (split.image_root / "link.jpg").symlink_to(tmp_path / "set" / "secret.txt")
    with pytest.raises(EveryposeError):
        write([split], tmp_path / "out", copy=True)
    assert not any("SECRET" in file.read_text(errors="replace") for file in tmp_path.glob("out/**/*") if file.is_file())


def test_readers_of_scenes_refuse_names_that_leave(tmp_path: Path) -> None:
    path = coco(tmp_path, "train")
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "../../x.png"
    path.write_text(json.dumps(content))
    with pytest.raises(EveryposeError, match=r"'\.\./\.\./x\.png' leaves the folder"):
        read_coco(path, tmp_path / "images")
    person = {"image": "../x.jpg", "center": [1, 1], "scale": 1, "joints": [[1, 1]] * 16, "joints_vis": [1] * 16}
    (tmp_path / "mpii_val.json").write_text(json.dumps([person]))
    with pytest.raises(EveryposeError, match="not inside the folder"):
        read_mpii(tmp_path / "mpii_val.json", tmp_path / "images")


@pytest.mark.parametrize("place", ["../../elsewhere", "/etc"])
def test_a_yaml_file_cannot_point_outside_except_by_its_path(tmp_path: Path, place: str) -> None:
    write_yolo(read_any(coco(tmp_path / "set", "train")), tmp_path / "a" / "b" / "yolo", copy=True)
    yaml = tmp_path / "a" / "b" / "yolo" / "data.yaml"
    (tmp_path / "a" / "b" / "yolo" / "images").rename(tmp_path / "a" / "elsewhere")
    yaml.write_text(yaml.read_text().replace("images/train", place))
    with pytest.raises(EveryposeError, match=r"outside of the data set's folder, \S+: give it as 'path'$"):
        read_any(yaml)
    listed = yaml.parent / "train.txt"
    listed.write_text("/etc/passwd.jpg\n")
    yaml.write_text(yaml.read_text().replace(place, "train.txt"))
    with pytest.raises(EveryposeError, match="outside"):
        read_any(yaml)
