import copy
import json
import re

import cv2
import numpy as np
import pytest

from evaluation.made import dataset, ours, pycocotools_numbers, with_people
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


@pytest.fixture
def files(tmp_path):
    """A generated set of eight images with predictions, as files."""
    truth, results = with_people(1, images=8)
    truth["categories"][0]["keypoints"] = list(COCO.keypoints)
    folder = tmp_path / "images"
    folder.mkdir()
    for image in truth["images"]:
        cv2.imwrite(str(folder / image["file_name"]), np.full((300, 400, 3), 90, np.uint8))

    def write(truth=truth, results=results):
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        (tmp_path / "results.json").write_text(json.dumps(results))
        return "--predictions", tmp_path / "results.json", "--annotations", tmp_path / "truth.json"

    write.truth, write.results, write.folder = truth, results, tmp_path  # type: ignore[attr-defined]
    return write


def test_numbers_equal_pycocotools(everypose, files):
    done = everypose("evaluate", *files(), "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    expected = pycocotools_numbers(files.truth, files.results, COCO.sigmas)
    found = [-1 if v is None else v for v in record["numbers"][""].values()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert record["protocol"]["flip"] is None
    assert record["protocol"]["boxes"] == "not stated"


def test_tables_record_and_report(everypose, files):
    out, report = files.folder / "record.json", files.folder / "report.html"
    images = files.folder / "images"
    stated = ("--state", "boxes=ground truth", "--state", "dataset=coco", "--state", "split=val", "--state", "flip=no")
    done = everypose("evaluate", *files(), "--images", images, "-o", out, "--report", report, *stated)
    assert done.code == 0, done.err
    for words in ("AP50", "ground truth", "occlusion", "left_wrist", "above 0.5", "Protocol"):
        assert words in done.out
    assert json.loads(out.read_text())["protocol"]["flip"] is False
    page = report.read_text()
    for words in ("<svg", "data:image/jpeg;base64,", "By occlusion", "jitter", "Worst images", "ground truth"):
        assert words in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page


def test_report_escapes_what_files_say(everypose, files):
    truth = copy.deepcopy(files.truth)
    report = files.folder / "report.html"
    files(truth)
    (files.folder / "results.json").rename(files.folder / "<b>.json")
    arguments = ("--predictions", files.folder / "<b>.json", "--annotations", files.folder / "truth.json")
    assert everypose("evaluate", *arguments, "--report", report).code == 0
    assert "<b>" not in report.read_text()


def test_a_missing_image_is_named_in_the_report(everypose, files):
    (files.folder / "images" / "1.jpg").unlink()
    for path in (files.folder / "images").iterdir():
        path.unlink()
    done = everypose("evaluate", *files(), "--images", files.folder / "images", "--report", files.folder / "r.html")
    assert done.code == 1
    assert ".jpg" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, r: r[0].update(image_id=4321), "not in the annotation file"),
        (lambda _, r: r[0].update(keypoints=[0.0] * 42), "has 14 keypoints, the skeleton has 17"),
        (lambda _, r: r[0].update(score=None), "score must be a finite number"),
        (lambda t, _: t["images"].append(t["images"][0]), "duplicate image ids"),
        (lambda t, _: t.update(annotations=[]), "nothing to measure"),
        (lambda t, _: t["categories"][0].pop("keypoints"), "--skeleton"),
        (lambda t, _: t["categories"][0].update(keypoints=[f"left_p{i}" for i in range(17)]), "twin"),
    ],
)
def test_bad_input_is_one_line(everypose, files, change, words):
    truth, results = copy.deepcopy((files.truth, files.results))
    change(truth, results)
    done = everypose("evaluate", *files(truth, results))
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_nan_in_the_file(everypose, files):
    results = copy.deepcopy(files.results)
    results[0]["score"] = float("nan")
    done = everypose("evaluate", *files(results=results))
    assert done.code == 1
    assert "prediction 0: score must be a finite number" in done.err


def test_no_predictions_score_zero(everypose, files):
    done = everypose("evaluate", *files(results=[]), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["numbers"][""]["AP"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either MODEL"),
        (("boir-lite", "--predictions", "x.json"), "give either MODEL"),
        (("boir-lite",), "needs either --data and --split"),
        (("--predictions", "x.json"), "needs --annotations"),
        (
            ("--predictions", "x", "--annotations", "y", "--flip", "--device", "cuda"),
            "--flip, --device: only with MODEL",
        ),
        (("--predictions", "x", "--annotations", "y", "--batch", "2"), "--batch: only with MODEL"),
        (("--predictions", "x", "--annotations", "y", "--data", "z"), "--data: only with MODEL"),
        (("--predictions", "x", "--annotations", "y", "--size", "320"), "--size: only with MODEL"),
        (("--predictions", "x", "--annotations", "y", "--state", "color=red"), "one of dataset, split, boxes"),
        (("--predictions", "x", "--annotations", "y", "--state", "flip=maybe"), "flip is yes or no"),
        (("--predictions", "x", "--annotations", "y", "--sigmas", "0.1,much"), "must be numbers"),
        (("--predictions", "x", "--annotations", "y", "--sigmas", "0.1,7"), "between 0 and 1"),
        (("--predictions", "x", "--annotations", "y", "--skeleton", "cocoo"), "coco"),
    ],
)
def test_wrong_usage(everypose, arguments, words):
    done = everypose("evaluate", *arguments)
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_missing_and_broken_files(everypose, files):
    files()
    truth = files.folder / "truth.json"
    done = everypose("evaluate", "--predictions", files.folder / "none.json", "--annotations", truth)
    assert (done.code, "none.json" in done.err) == (1, True)
    truth.write_text("[1, 2")
    done = everypose("evaluate", "--predictions", files.folder / "results.json", "--annotations", truth)
    assert (done.code, "truth.json is not valid JSON" in done.err) == (1, True)
    assert "line 1" in done.err


def own_skeleton(files):
    """Nine keypoints of one's own: no sigmas are known."""
    truth, results = dataset(5, images=10, count=9)
    names = ["hat", *(f"{side}_{part}" for part in ("ear", "hand", "knee", "foot") for side in ("left", "right"))]
    truth["categories"][0]["keypoints"] = names
    return files(truth, results)


def test_unknown_sigmas_are_an_error_that_offers_the_ways(everypose, files):
    done = everypose("evaluate", *own_skeleton(files))
    assert done.code == 1
    for way in ("--sigmas", "TOML", "estimate"):
        assert way in done.err
    assert done.err.count("\n") == 1


def test_sigmas_can_be_given(everypose, files):
    arguments = own_skeleton(files)
    done = everypose("evaluate", *arguments, "--sigmas", ",".join(["0.05"] * 9), "--json")
    assert done.code == 0, done.err
    path = files.folder / "sigmas.json"
    path.write_text(json.dumps([0.05] * 9))
    again = everypose("evaluate", *arguments, "--sigmas", path, "--json")
    assert json.loads(again.out)["numbers"] == json.loads(done.out)["numbers"]
    other = everypose("evaluate", *arguments, "--sigmas", ",".join(["0.07"] * 9), "--json")
    assert json.loads(other.out)["protocol"]["sigmas"] != json.loads(done.out)["protocol"]["sigmas"]
    few = everypose("evaluate", *arguments, "--sigmas", "0.1,0.1")
    assert (few.code, "2 sigmas" in few.err) == (2, True)


def test_mpii_needs_one_prediction_for_each_person(everypose, files):
    truth, _ = dataset(3, images=6, count=16, crowds=False)
    truth["categories"][0]["keypoints"] = list(Skeleton.named("mpii").keypoints)
    for person in truth["annotations"]:
        person["head_box"] = [10, 10, 40, 50]
    people = [a for a in truth["annotations"] if a["num_keypoints"]]
    results = [
        {"image_id": a["image_id"], "annotation_id": a["id"], "keypoints": a["keypoints"], "score": 1.0} for a in people
    ]
    done = everypose("evaluate", *files(truth, results), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["numbers"][""]["PCKh@0.1"] == 1
    assert json.loads(done.out)["protocol"]["metric"] == "pckh"
    for broken, words in (
        (results[:-1], "1 annotated people have no prediction"),
        ([*results, results[0]], "two predictions name"),
        ([{**results[0], "annotation_id": -5}, *results[1:]], "names annotation_id -5"),
    ):
        done = everypose("evaluate", *files(truth, broken))
        assert (done.code, words in done.err) == (1, True), done.err


def test_interhand(everypose, files):
    truth, _ = dataset(3, images=6, count=21, crowds=False)
    truth["categories"][0]["keypoints"] = list(Skeleton.named("interhand2d").keypoints)
    people = [a for a in truth["annotations"] if a["num_keypoints"]]
    results = [
        {"image_id": a["image_id"], "annotation_id": a["id"], "keypoints": a["keypoints"], "score": 1.0} for a in people
    ]
    done = everypose("evaluate", *files(truth, results), "--json")
    numbers = json.loads(done.out)["numbers"][""]
    assert numbers == {"PCK@0.2": 1, "AUC": pytest.approx(0.95), "EPE": 0}
    assert "EPE" in everypose("evaluate", *files(truth, results)).out


def test_crowdpose_is_recognized(everypose, files):
    truth, results = dataset(5, images=10, count=14)
    truth["categories"][0]["keypoints"] = list(Skeleton.named("crowdpose").keypoints)
    record = json.loads(everypose("evaluate", *files(truth, results), "--json").out)
    assert record["protocol"]["metric"] == "crowdpose"
    assert record["protocol"]["area"] == "0.53 x box"
    assert "AP hard" in record["numbers"][""]


def test_the_library_and_the_command_agree(everypose, files):
    record = json.loads(everypose("evaluate", *files(), "--json").out)
    scores = evaluate_oks(files.truth, files.results, COCO)
    assert [-1 if v is None else v for v in record["numbers"][""].values()] == ours(scores).tolist()
