"""COCO to YOLO-pose and back, and what YOLO-pose cannot hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.coco_set import COCO, assert_same_people, coco, image
from everypose.data.formats.convert import read_any
from everypose.data.formats.yolo_writing import write_yolo
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton


def test_coco_to_yolo_and_back(tmp_path: Path) -> None:
    sources = [coco(tmp_path, "train", 1), coco(tmp_path, "val", 2)]
    splits = [split for source in sources for split in read_any(source)]
    assert write_yolo(splits, tmp_path / "yolo", copy=False) == []
    back = read_any(tmp_path / "yolo")
    assert [split.name for split in back] == ["train", "val"]
    for before, after in zip(splits, back, strict=True):
        assert after.content["images"] == before.content["images"]
        assert after.content["categories"][0]["keypoints"] == list(COCO.keypoints)
        assert_same_people(before.content, after.content)
    write_yolo(back, tmp_path / "again", copy=True)
    for label in (tmp_path / "yolo" / "labels").rglob("*.txt"):
        again = tmp_path / "again" / label.relative_to(tmp_path / "yolo")
        ours, theirs = np.array(label.read_text().split(), float), np.array(again.read_text().split(), float)
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_yolo_line_is_the_formula(tmp_path: Path) -> None:
    path = coco(tmp_path, "val", count=2)
    write_yolo(read_any(path), tmp_path / "yolo", copy=True)
    person = json.loads(path.read_text())["annotations"][0]
    x, y, w, h = person["bbox"]
    width, height = 74, 56
    expected = [0, (x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
    for k in range(17):
        px, py, v = person["keypoints"][3 * k : 3 * k + 3]
        expected += [px / width, py / height, v]
    line = (tmp_path / "yolo" / "labels" / "val" / "000002.txt").read_text()
    np.testing.assert_allclose([float(field) for field in line.split()], expected, atol=1e-10)
    assert (tmp_path / "yolo" / "labels" / "val" / "000001.txt").read_text() == ""
    assert not (tmp_path / "yolo" / "images" / "val" / "000002.png").is_symlink()


def test_written_yaml_is_what_ultralytics_reads(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    write_yolo(read_any(coco(tmp_path, "val")), tmp_path / "yolo", copy=False)
    values = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    assert values == {
        "val": "images/val",
        "kpt_shape": [17, 3],
        "flip_idx": COCO.flip_index.tolist(),
        "names": {0: "person"},
        "kpt_names": {0: list(COCO.keypoints)},
    }


def test_what_yolo_cannot_hold_is_said(tmp_path: Path) -> None:
    path = coco(tmp_path, "train")
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["keypoints"][:3] = [500, 3, 2]
    content["annotations"][2]["bbox"] = [900, 900, 5, 5]
    path.write_text(json.dumps(content))
    notes = write_yolo(read_any(path), tmp_path / "yolo", copy=False)
    assert [note.split(" ", 1)[0] for note in notes] == ["1", "1", "1", "no"]
    labels = (tmp_path / "yolo" / "labels" / "train" / "000003.txt").read_text()
    assert labels.split()[5:8] == ["0", "0", "0"]


def test_yolo_with_two_values_and_without_names(tmp_path: Path) -> None:
    image(tmp_path / "train" / "images" / "a.png", 100, 50)
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text("1 0.5 0.5 0.2 0.4 0.1 0.2 0 0 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text(
        "# Roboflow\ntrain: ../train/images\nval: ''\nnc: 2\nkpt_shape: [3, 2]\nnames: ['cat', 'dog']\n"
    )
    with pytest.raises(EveryposeError, match="--skeleton"):
        read_any(tmp_path)
    skeleton = Skeleton("three", ("nose", "left_ear", "right_ear"), ((1, 2),), (), None)
    (split,) = read_any(tmp_path, skeleton=skeleton)
    (person,) = split.content["annotations"]
    assert person["keypoints"] == [10, 10, 2, 0, 0, 0, 50, 25, 2]
    assert person["bbox"] == [40, 15, 20, 20]
    assert person["category_id"] == 2
    assert split.content["images"] == [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1", "4 values; 56 are needed"),
        (" ".join(["0"] + ["x"] * 55), "not a number"),
        (" ".join(["7"] + ["0.5"] * 55), "class 7 is unknown"),
        (" ".join(["0"] + ["nan"] * 55), "not finite"),
    ],
)
def test_malformed_labels_are_one_line(tmp_path: Path, line: str, said: str) -> None:
    write_yolo(read_any(coco(tmp_path, "train")), tmp_path / "yolo", copy=False)
    (tmp_path / "yolo" / "labels" / "train" / "000002.txt").write_text(line)
    with pytest.raises(EveryposeError, match=said) as error:
        read_any(tmp_path / "yolo")
    assert "000002.txt" in str(error.value)


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (["000139", "000285"], [139, 285]),
        (["7", "b"], [1, 2]),
        (["7", "07"], [1, 2]),
        (["1403636579763555584", "1403636579813555456"], [1, 2]),  # nanoseconds: no JSON reader keeps such ids
    ],
)
def test_image_ids_are_the_numbers_of_the_files_where_they_can_be(
    tmp_path: Path, stems: list[str], expected: list[int]
) -> None:
    for stem in stems:
        image(tmp_path / "images" / f"{stem}.png", 10, 10)
    (tmp_path / "data.yaml").write_text("train: images\nkpt_shape: [2, 3]\nkpt_names: {0: [a, b]}\nnames: [cat]\n")
    (split,) = read_any(tmp_path)
    numbers = {Path(entry["file_name"]).stem: entry["id"] for entry in split.content["images"]}
    assert [numbers[stem] for stem in sorted(stems)] == expected


@pytest.mark.parametrize("listed", ["[a, b]", "[b, a]"])
def test_images_below_an_absolute_path_and_next_to_a_relative_file(tmp_path: Path, monkeypatch, listed: str) -> None:
    image(tmp_path / "elsewhere" / "a" / "1.png", 10, 10)
    image(tmp_path / "set" / "b" / "2.png", 10, 10)
    names = "kpt_shape: [2, 3]\nkpt_names: {0: [a, b]}\nnames: [cat]\n"
    (tmp_path / "set" / "data.yaml").write_text(f"path: {tmp_path / 'elsewhere'}\ntrain: {listed}\n{names}")
    monkeypatch.chdir(tmp_path)
    (split,) = read_any(Path("set"))
    assert split.image_root == tmp_path
    assert {entry["file_name"] for entry in split.content["images"]} == {"elsewhere/a/1.png", "set/b/2.png"}
