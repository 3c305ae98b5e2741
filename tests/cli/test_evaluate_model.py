"""``everypose evaluate MODEL``: a model run on a data set and scored."""

import copy
import json

import cv2
import numpy as np
import pytest

import everypose as package
from everypose.skeleton.skeleton import Skeleton
from inference.stand_in import config, crowd, write_model

COCO = Skeleton.named("coco")


@pytest.fixture
def photo_set(tmp_path):
    """A model that sees bright blocks, a data set of two pictures of them, labeled as the model finds them."""
    model = write_model(tmp_path / "stand_in.onnx")
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    pose = package.load(model)
    images, annotations = [], []
    for image_id, people in enumerate(([(0, 0, 200)], [(0, 0, 150), (1, 1, 220)]), start=1):
        picture, name = crowd(people), f"{'ab'[image_id - 1]}.png"
        cv2.imwrite(str(root / "images" / name), picture[..., ::-1])
        images.append({"id": image_id, "file_name": name, "width": picture.shape[1], "height": picture.shape[0]})
        for person in pose(root / "images" / name).to_coco(image_id):
            keypoints = np.reshape(person["keypoints"], (17, 3))
            keypoints[:, 2] = 2
            area = float(person["bbox"][2] * person["bbox"][3])
            entry = {"id": len(annotations) + 1, "iscrowd": 0, "area": area, "num_keypoints": 17}
            annotations.append({**person, **entry, "keypoints": keypoints.ravel().tolist()})
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
    truth = {"images": images, "annotations": annotations, "categories": [category]}
    write(root, truth)
    return model, root, truth


def write(root, truth):
    path = root / "annotations" / "val.json"
    path.write_text(json.dumps(truth))
    return path


def test_a_model_is_scored_on_a_data_set(everypose, photo_set, tmp_path):
    model, root, _ = photo_set
    out = tmp_path / "record.json"
    done = everypose("evaluate", model, "--data", root, "--split", "val", "-o", out, "--report", tmp_path / "r.html")
    assert done.code == 0, done.err
    record = json.loads(out.read_text())
    assert record["numbers"][""]["AP"] == pytest.approx(1)
    protocol = record["protocol"]
    assert (protocol["images"], protocol["persons"], protocol["boxes"], protocol["flip"]) == (2, 3, "none", False)
    assert (protocol["split"], protocol["dataset"], protocol["nms"]) == ("val", "photos", "OKS 0.8")
    assert len(record["model_sha256"]) == 64
    flipped = tmp_path / "flipped.json"
    everypose("evaluate", model, "--data", root, "--split", "val", "--flip", "-o", flipped, "-q")
    refused = everypose("compare", out, flipped)
    assert (refused.code, "flip: no versus yes" in refused.err) == (2, True)
    shown = everypose("compare", out, flipped, "--anyway")
    assert shown.code == 0
    assert "differ in flip: no versus yes" in " ".join(shown.out.split())
    compared = json.loads(everypose("compare", out, out, "--json").out)
    assert compared["differences"] == [[]]
    (root / "images" / "b.png").unlink()
    missing = everypose("evaluate", model, "--data", root, "--split", "val")
    assert (missing.code, "b.png" in missing.err) == (1, True)


def test_an_annotation_file_and_its_images_are_enough(everypose, photo_set):
    model, root, truth = photo_set
    path = write(root, truth)
    given = ("evaluate", model, "--annotations", path, "--images", root / "images", "--json")
    done = everypose(*given, "--state", "dataset=mine", "--state", "split=dev")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["numbers"][""]["AP"] == pytest.approx(1)
    assert (record["protocol"]["dataset"], record["protocol"]["split"]) == ("mine", "dev")
    refused = everypose(*given, "--state", "boxes=ground truth")
    assert (refused.code, "one of dataset, split" in refused.err) == (2, True)
    both = everypose(*given, "--data", root, "--split", "val")
    assert (both.code, "either --data and --split, or" in both.err) == (2, True)


def test_file_names_with_folders_that_are_not_there(everypose, photo_set, tmp_path):
    model, root, truth = photo_set
    for image in truth["images"]:
        image["file_name"] = f"upload/1/{image['file_name']}"
    write(root, truth)
    done = everypose("evaluate", model, "--data", root, "--split", "val", "--report", tmp_path / "r.html")
    assert done.code == 0, done.err


def of_species(truth, second):
    """The truth with two species; image 2's people are of ``second``."""
    truth = copy.deepcopy(truth)
    keypoints = truth["categories"][0]["keypoints"]
    truth["categories"] = [{"id": i, "name": name, "keypoints": keypoints} for i, name in ((3, "cat"), (7, "dog"))]
    people = iter(second)
    for annotation in truth["annotations"]:
        annotation["category_id"] = 3 if annotation["image_id"] == 1 else next(people)
    return truth


def test_what_is_found_takes_the_species_of_its_image(everypose, photo_set):
    model, root, truth = photo_set
    truth = of_species(truth, (7, 7))
    # Nobody is labeled in the third image: what is found there has no species.
    truth["images"].append({**truth["images"][0], "id": 9})
    write(root, truth)
    done = everypose("evaluate", model, "--data", root, "--split", "val", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["numbers"][""]["AP"] == pytest.approx(1)
    assert record["numbers"]["cat"] == record["numbers"]["dog"] == {"AP": pytest.approx(1)}
    note = next(note for note in record["notes"] if "predicts no category" in note)
    assert "1 images without annotated people are not scored" in note


def test_two_species_in_one_image_are_refused(everypose, photo_set):
    model, root, truth = photo_set
    write(root, of_species(truth, (7, 3)))
    done = everypose("evaluate", model, "--data", root, "--split", "val")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "image 2 has labeled people of several categories" in done.err


def test_sigmas_that_the_data_lack_are_the_model_s(everypose, photo_set):
    """A model brings the sigmas of a skeleton of one's own; they count when the keypoints are the same."""
    model, root, truth = photo_set
    names = [f"{side}_part{i}" for i in range(8) for side in ("left", "right")] + ["middle"]
    truth["categories"][0]["keypoints"] = names
    write(root, truth)
    done = everypose("evaluate", model, "--data", root, "--split", "val")
    assert (done.code, "needs the same keypoints" in done.err) == (2, True)
    skeleton = Skeleton.from_coco_category(truth["categories"][0], "own").to_dict() | {"sigmas": [0.05] * 17}
    own = write_model(root / "own.onnx", {"everypose": json.dumps(config() | {"skeleton": skeleton})})
    done = everypose("evaluate", own, "--data", root, "--split", "val", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["numbers"][""]["AP"] == pytest.approx(1)


def test_metrics_of_one_prediction_for_each_person_are_refused_before_the_model_runs(everypose, photo_set):
    model, root, _ = photo_set
    done = everypose("evaluate", model, "--data", root, "--split", "val", "--metric", "pckh")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--predictions" in done.err
    assert "--metric coco" in done.err


def test_the_record_has_the_device_that_auto_chose(everypose, photo_set, tmp_path, monkeypatch):
    model, root, _ = photo_set
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("everypose.inference.device_choice.candidate_devices", lambda: ["cpu"])
    options = ["evaluate", model, "--data", root, "--split", "val", "-q", "-o"]
    for device, count in (("auto", 1), ("cpu", 0)):
        done = everypose(*options, tmp_path / f"{device}.json", "--device", device)
        assert done.code == 0, done.err
        notes = json.loads((tmp_path / f"{device}.json").read_text())["notes"]
        assert sum(note.startswith("the device auto was cpu: ") for note in notes) == count
