"""``everypose data doctor | overlap | convert | join | sigmas`` as the user meets them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def picture(seed):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def data(tmp_path):
    """A flawless set of three images with a person each."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), picture(number))
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 160, "height": 120})
        keypoints = [value for k in range(17) for value in (10 + 3 * k, 20 + number + 2 * k, 2)]
        person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        person |= {"keypoints": keypoints, "num_keypoints": 17, "bbox": [8, 18, 60, 50], "area": 900}
        annotations.append(person)
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2]]}
    write(folder / "train.json", {"images": images, "annotations": annotations, "categories": [category]})
    return folder


def write(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def changed(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    write(path, content)


def assert_one_line(done, code):
    assert done.code == code
    assert done.err.startswith("everypose: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err


def test_doctor_on_a_good_set(everypose, data):
    done = everypose("data", "doctor", data)
    assert (done.code, done.err) == (0, "")
    assert "3 images" in done.out
    assert "no flaws found" in done.out


def test_doctor_on_what_reading_repairs(everypose, data):
    changed(data / "train.json", lambda content: content["annotations"][0].update(num_keypoints=2))
    done = everypose("data", "doctor", data / "train.json")
    assert done.code == 0
    assert "repaired" in done.out


def test_doctor_on_what_nothing_repairs(everypose, data):
    (data / "images" / "2.jpg").unlink()
    done = everypose("data", "doctor", data, "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert not report["readable"]
    (flaw,) = report["files"][0]["flaws"]
    assert (flaw["kind"], flaw["severity"], flaw["count"], flaw["examples"]) == ("missing_file", "broken", 1, ["2.jpg"])


def test_doctor_fixes(everypose, data, tmp_path):
    changed(data / "train.json", lambda content: content["images"][0].update(width=120, height=160))
    changed(data / "train.json", lambda content: content["annotations"][1].update(id=1))
    assert everypose("data", "doctor", data).code == 1
    done = everypose("data", "doctor", data, "--fix", tmp_path / "fixed")
    assert done.code == 0
    fixed = json.loads((tmp_path / "fixed" / "train.json").read_text())
    assert (fixed["images"][0]["width"], fixed["images"][0]["height"]) == (160, 120)
    assert [entry["id"] for entry in fixed["annotations"]] == [1, 4, 3]
    single = everypose("data", "doctor", data / "train.json", "--fix", tmp_path / "one.json", "--json")
    assert single.code == 0
    assert json.loads((tmp_path / "one.json").read_text()) == fixed
    assert json.loads(single.out)["written"] == [str(tmp_path / "one.json")]


def test_doctor_never_overwrites_its_input(everypose, data):
    before = (data / "train.json").read_bytes()
    assert_one_line(everypose("data", "doctor", data, "--fix", data), 2)
    assert (data / "train.json").read_bytes() == before


def test_doctor_names_a_damaged_file_among_good_ones(everypose, data):
    (data / "val.json").write_text('{"images": [')
    done = everypose("data", "doctor", data)
    assert "no flaws found" in done.out
    assert_one_line(done, 1)
    assert "val.json is not valid JSON" in done.err
    (data / "train.json").unlink()
    assert_one_line(everypose("data", "doctor", data), 1)


@pytest.mark.parametrize("name", ["nothing", "empty", "broken.json", "list.json"])
def test_doctor_on_what_is_no_data_set(everypose, tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    assert_one_line(everypose("data", "doctor", tmp_path / name), 1)


def test_doctor_with_a_wrong_image_folder(everypose, data):
    assert_one_line(everypose("data", "doctor", data, "--images", data / "none"), 1)


def test_overlap(everypose, data, tmp_path):
    (tmp_path / "b").mkdir()
    cv2.imwrite(str(tmp_path / "b" / "x.jpg"), picture(2)[3:-4, 5:, :][:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
    (tmp_path / "b" / "y.jpg").write_bytes((data / "images" / "3.jpg").read_bytes())
    cv2.imwrite(str(tmp_path / "b" / "z.jpg"), picture(99))
    done = everypose("data", "overlap", data / "train.json", tmp_path / "b", "-o", tmp_path / "out", "--json")
    assert (done.code, done.err) == (0, "")
    (overlap,) = json.loads(done.out)["overlaps"]
    pairs = {(Path(pair["first"]).name, Path(pair["second"]).name, pair["how"]) for pair in overlap["pairs"]}
    assert pairs == {("2.jpg", "x.jpg", "mirrored picture"), ("3.jpg", "y.jpg", "same file")}
    assert json.loads((tmp_path / "out" / "overlap.json").read_text()) == json.loads(done.out)
    assert (tmp_path / "out" / "overlap.html").read_text().count("<figure>") == 2
    assert "share 2 images" in everypose("data", "overlap", data, tmp_path / "b").out


def test_overlap_names_unreadable_images(everypose, data, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "b" / "1.jpg").write_bytes((data / "images" / "1.jpg").read_bytes())
    done = everypose("data", "overlap", data, tmp_path / "b")
    assert done.code == 1
    assert "bad.jpg" in done.err
    assert "share 1 images" in done.out


def test_overlap_needs_two_sets(everypose, data):
    assert_one_line(everypose("data", "overlap", data), 2)
    assert_one_line(everypose("data", "overlap", data, data / "nothing"), 1)


def test_convert_to_yolo_and_back(everypose, data, tmp_path):
    done = everypose("data", "convert", data / "train.json", "--to", "yolo", "-o", tmp_path / "yolo")
    assert (done.code, done.err) == (0, "")
    assert "3 images, 3 annotations" in done.out
    assert everypose("data", "convert", tmp_path / "yolo", "-o", tmp_path / "back").code == 0
    before = json.loads((data / "train.json").read_text())
    after = json.loads((tmp_path / "back" / "annotations" / "train.json").read_text())
    for one, other in zip(before["annotations"], after["annotations"], strict=True):
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=1e-5)
    assert everypose("data", "doctor", tmp_path / "back").code == 0


def test_convert_says_what_is_wrong(everypose, data, tmp_path):
    assert_one_line(everypose("data", "convert", data / "images", "-o", tmp_path / "out"), 1)
    assert_one_line(everypose("data", "convert", data, "--to", "yolo", "-o", tmp_path / "out.json"), 2)
    twice = everypose("data", "convert", data / "train.json", data / "train.json", "-o", tmp_path / "out")
    assert_one_line(twice, 2)
    assert_one_line(everypose("data", "convert", data, "-o", tmp_path / "o", "--skeleton", "cocoo"), 2)
    assert_one_line(everypose("data", "convert", data, "-o", tmp_path / "o", "--images", tmp_path / "no"), 2)


def test_join(everypose, data, tmp_path):
    other = write(tmp_path / "b.json", json.loads((data / "train.json").read_text()))
    changed(other, lambda content: [image.update(id=image["id"] + 10) for image in content["images"]])
    changed(other, lambda content: [entry.update(image_id=entry["image_id"] + 10) for entry in content["annotations"]])
    done = everypose("data", "join", data / "train.json", other, "-o", tmp_path / "c.json")
    assert (done.code, done.err) == (0, "")
    joined = json.loads((tmp_path / "c.json").read_text())
    assert [entry["id"] for entry in joined["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert_one_line(everypose("data", "join", other, "-o", tmp_path / "d.json"), 2)


def test_sigmas_from_repeated_annotations(everypose, tmp_path):
    """Two annotators with a known spread: the sigmas are those, and the TOML file gives them back."""
    rng = np.random.default_rng(0)
    names = ["nose", "left_ear", "right_ear"]
    true = np.array([0.02, 0.05, 0.08])
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 400, "height": 400} for n in range(400)]
    poses = rng.uniform(100, 300, (400, 3, 2))
    for annotator in ("anna", "ben"):
        annotations = []
        for number, pose in enumerate(poses):
            # sigma^2 is the mean square of the whole deviation, over the area: half of it along each axis.
            points = pose + rng.normal(size=(3, 2)) * (true * 200 / np.sqrt(2))[:, None]
            keypoints = np.column_stack([points, np.full(3, 2)]).reshape(-1).tolist()
            person = {"id": number, "image_id": number, "category_id": 1, "keypoints": keypoints, "iscrowd": 0}
            annotations.append({**person, "num_keypoints": 3, "bbox": [100, 100, 200, 200], "area": 200 * 200})
        category = {"id": 1, "name": "mouse", "keypoints": names, "skeleton": [[1, 2]]}
        content = {"images": images, "annotations": annotations, "categories": [category]}
        write(tmp_path / f"{annotator}.json", content)
    out = tmp_path / "mouse.toml"
    done = everypose("data", "sigmas", tmp_path / "anna.json", tmp_path / "ben.json", "-o", out, "--json")
    assert (done.code, done.err) == (0, "")
    estimated = json.loads(done.out)["sigmas"]
    np.testing.assert_allclose([estimated[name] for name in names], true, rtol=0.1)
    skeleton = Skeleton.read(out)
    assert skeleton.keypoints == tuple(names)
    assert skeleton.flip_pairs == ((1, 2),)
    assert skeleton.sigmas == tuple(estimated.values())
    same = everypose("data", "sigmas", tmp_path / "anna.json", tmp_path / "anna.json")
    assert_one_line(same, 1)
