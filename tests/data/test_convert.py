"""Conversions between data set formats: round trips, tools' exports, bad input."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.data.convert import coco_content, join, read_any, write_coco
from everypose.data.formats import flat_yaml
from everypose.data.formats.split import Split, inside_name, split_name
from everypose.data.formats.yolo import write_yolo
from everypose.data.layouts import find_data
from everypose.data.mpii import read_mpii
from everypose.errors import EveryposeError
from everypose.skeleton import Skeleton

COCO = Skeleton.named("coco")


def image(path: Path, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8))
    return path


def coco(folder: Path, name: str, seed: int = 0, count: int = 4) -> Path:
    """A COCO file with images of different sizes and people with fractional labels."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        size = 60 + 7 * number, 50 + 3 * number
        image(folder / f"{name}_images" / f"{number:06d}.png", *size)
        images.append({"id": number, "file_name": f"{number:06d}.png", "width": size[0], "height": size[1]})
        for _ in range(number - 1):
            keypoints = np.round(rng.uniform(0, 48, (17, 3)), 3)
            keypoints[:, 2] = rng.integers(0, 3, 17)
            keypoints[keypoints[:, 2] == 0] = 0
            box = np.round([*rng.uniform(0, 20, 2), *rng.uniform(5, 28, 2)], 2).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": keypoints.reshape(-1).tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                    "bbox": box,
                    "area": 0.53 * box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2]]}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def assert_same_people(a: dict, b: dict) -> None:
    assert len(a["annotations"]) == len(b["annotations"])
    for one, other in zip(a["annotations"], b["annotations"], strict=True):
        for key in ("image_id", "category_id", "num_keypoints", "iscrowd"):
            assert one[key] == other[key]
        for key in ("keypoints", "bbox", "area"):
            np.testing.assert_allclose(one[key], other[key], atol=1e-5)


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


scalars = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.none(),
    st.text("abc_ #:,'-./0[]{}", min_size=1).filter(lambda t: "'" not in t),
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.one_of(
            scalars,
            st.lists(scalars, max_size=4),
            st.dictionaries(
                st.integers(0, 9), st.one_of(scalars, st.lists(scalars, max_size=3)), min_size=1, max_size=4
            ),
        ),
        max_size=5,
    )
)
def test_yaml_round_trip(values: dict) -> None:
    text = flat_yaml.dump(values)
    assert flat_yaml.parse(text, "test") == values


def test_yaml_forms() -> None:
    text = """
# a comment
path: ../datasets/tiger # where
train: "images # 1"
names:
  0: 'a tiger'
  1: lion
kpt_shape:
  - 12
  - 3
flip_idx: [0, 2,
  1]
kpt_names:
  0:
    - nose
    - left ear
more: {a: 1, b: [x, y]}
empty:
"""
    assert flat_yaml.parse(text, "test") == {
        "path": "../datasets/tiger",
        "train": "images # 1",
        "names": {0: "a tiger", 1: "lion"},
        "kpt_shape": [12, 3],
        "flip_idx": [0, 2, 1],
        "kpt_names": {0: ["nose", "left ear"]},
        "more": {"a": 1, "b": ["x", "y"]},
        "empty": None,
    }


@pytest.mark.parametrize("text", ["just words", "a: [1, 2", "  indented: 1", "a:\n  ???"])
def test_other_yaml_is_one_line(text: str) -> None:
    with pytest.raises(EveryposeError, match="data set YAML"):
        flat_yaml.parse(text, "data.yaml")


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
