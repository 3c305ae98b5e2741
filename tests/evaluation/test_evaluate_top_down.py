import copy
import hashlib
import json
from typing import Any

import numpy as np
import pytest

from evaluation.made import pycocotools_numbers
from evaluation.oracle import BOXES, COCO, content, detections, open_oracle, write_set
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.evaluate import evaluate_model, prepare_evaluation
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.predict import box_pose_results, predict_box_poses, predict_images
from everypose.inference.box_sources import AnnotatedBoxes
from everypose.inference.boxes import Photo
from everypose.skeleton.skeleton import Skeleton
from inference import stand_in
from inference.crop_stand_in import write_model

TRUTH = BoxSource("truth")


def evaluate(model, layout, boxes, *, flip=False, protocol=None):
    options = EvaluationOptions(boxes=boxes, flip=flip, quiet=True)
    return evaluate_model(str(model), layout, options, protocol=protocol)


@pytest.fixture
def truth():
    return content()


@pytest.mark.parametrize("instances", [1, 2])
def test_in_annotated_boxes_the_oracle_is_right(monkeypatch, tmp_path, truth, instances):
    model, runtime = open_oracle(monkeypatch, tmp_path, truth, instances)
    done = evaluate(model, write_set(tmp_path / "set", truth), TRUTH)
    assert done.record.numbers[""]["AP"] == pytest.approx(1)
    assert done.record.numbers[""]["AR"] == pytest.approx(1)
    assert runtime.crops == len(truth["annotations"])
    # A second pose that repeats somebody's primary one is suppressed.
    assert len(done.results) == len(truth["annotations"])
    assert sorted({round(result["score"], 4) for result in done.results}) == [0.9]


def test_the_protocol_says_whose_boxes_size_and_suppression(monkeypatch, tmp_path, truth):
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    layout = write_set(tmp_path / "set", truth)
    record = evaluate(model, layout, TRUTH, flip=True, protocol={"dataset": "mine"}).record
    protocol = record.protocol
    assert (protocol.boxes, protocol.input_size, protocol.nms) == ("ground truth", "48 x 64", "OKS 0.9")
    assert (protocol.flip, protocol.dataset, protocol.images, protocol.persons) == (True, "mine", 3, 6)
    assert protocol.detection_area == "keypoint extent"
    assert record.model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    given = tmp_path / "det.json"
    given.write_text(json.dumps(detections(truth, [0.5] * 6)))
    digest = hashlib.sha256(given.read_bytes()).hexdigest()[:12]
    for threshold, words in (
        (None, f"det.json, sha256 {digest}"),
        (0.2, f"det.json, sha256 {digest}, score 0.2 or more"),
    ):
        source = BoxSource(str(given), threshold=threshold)
        assert evaluate(model, layout, source).record.protocol.boxes == words


def test_crowdpose_models_suppress_nobody(monkeypatch, tmp_path, truth):
    model, _ = open_oracle(monkeypatch, tmp_path, truth, instances=2, nms=None)
    done = evaluate(model, write_set(tmp_path / "set", truth), TRUTH)
    assert done.record.protocol.nms == "none"
    assert len(done.results) == 2 * len(truth["annotations"])


def test_without_the_boxes_of_every_second_person_the_second_instance_finds_them(monkeypatch, tmp_path, truth):
    layout = write_set(tmp_path / "set", truth)
    given = tmp_path / "det.json"
    given.write_text(json.dumps(detections(truth, [1.0] * 4, keep=[0, 1, 3, 5])))
    recall = []
    for instances in (1, 2):
        model, _ = open_oracle(monkeypatch, tmp_path, truth, instances)
        record = evaluate(model, layout, BoxSource(str(given))).record
        recall.append(record.numbers[""]["AR"])
    np.testing.assert_allclose(recall, [4 / 6, 1])


def test_scores_are_pycocotools_of_the_results(monkeypatch, tmp_path, truth):
    """Detections of some people, one of them twice: the record's numbers are pycocotools'."""
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    rows = detections(truth, [0.9, 0.8, 0.3, 0.5], keep=[0, 2, 3, 3])
    (tmp_path / "det.json").write_text(json.dumps(rows))
    layout = write_set(tmp_path / "set", truth)
    source = BoxSource(str(tmp_path / "det.json"))
    done = evaluate(model, layout, source)
    assert len(done.results) == 3
    np.testing.assert_allclose(sorted(r["score"] for r in done.results), 0.9 * np.array([0.5, 0.8, 0.9]), rtol=1e-6)
    numbers = [-1 if number is None else number for number in done.record.numbers[""].values()]
    np.testing.assert_allclose(numbers, pycocotools_numbers(truth, done.results, COCO.sigmas), atol=1e-12)


def test_only_labeled_people_have_boxes(tmp_path, truth):
    crowd, unannotated = copy.deepcopy(truth["annotations"][:2])
    truth["annotations"] += [
        crowd | {"id": 1, "iscrowd": 1},
        unannotated | {"id": 2, "keypoints": [0] * 51, "num_keypoints": 0},
    ]
    truth["annotations"][0]["bbox"] = [-10, 30, 500, 90]
    annotated = AnnotatedSet.read(write_set(tmp_path / "set", truth))
    assert {image: len(rows) for image, rows in annotated.rows_of_image.items()} == {1: 1, 2: 2, 3: 3}
    detector = TRUTH.open(annotated)
    assert isinstance(detector, AnnotatedBoxes)
    found = detector(Photo(np.zeros((180, 220, 3), np.uint8), annotated.paths[1]))
    np.testing.assert_allclose(found.boxes, [[-10, 30, 490, 120]])
    np.testing.assert_array_equal(found.scores, [1])


def test_a_person_whose_box_cannot_be_cropped_is_not_found_and_told(monkeypatch, tmp_path, truth):
    truth["annotations"][1]["bbox"] = [300, 40, 48, 80]
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    record = evaluate(model, write_set(tmp_path / "set", truth), TRUTH).record
    assert record.numbers[""]["AR"] == pytest.approx(5 / 6)
    assert any(note.startswith("1 boxes were not used") for note in record.notes)


def test_boxes_of_other_categories_are_not_used_and_told(monkeypatch, tmp_path, truth):
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    rows = detections(truth, [1.0] * 6)
    rows[1]["category_id"] = 26
    (tmp_path / "det.json").write_text(json.dumps(rows))
    source = BoxSource(str(tmp_path / "det.json"))
    record = evaluate(model, write_set(tmp_path / "set", truth), source).record
    assert record.numbers[""]["AR"] == pytest.approx(5 / 6)
    assert f"1 boxes of {tmp_path / 'det.json'} are of other categories than person: not used" in record.notes


def test_poses_kept_by_box_give_the_same_people(monkeypatch, tmp_path, truth):
    model, _ = open_oracle(monkeypatch, tmp_path, truth, instances=2)
    setup: Any = prepare_evaluation(str(model), write_set(tmp_path / "set", truth), EvaluationOptions(boxes=TRUTH))
    kept = [
        result
        for image in predict_box_poses(setup.estimator, setup.annotated, quiet=True)
        for result in setup.estimator.people(image.poses).to_coco(image.image_id, image.category_id)
    ]
    for result in kept:
        del result["bbox"]
    assert kept == predict_images(setup.estimator, setup.annotated, quiet=True)
    poses = predict_box_poses(setup.estimator, setup.annotated, quiet=True)
    assert kept == box_pose_results(setup.estimator, poses)


MPII = Skeleton.named("mpii")


@pytest.fixture
def mpii_truth():
    truth = content(skeleton=MPII)
    for annotation in truth["annotations"]:
        annotation["head_size"] = 10.0
    return truth


def test_mpii_is_scored_by_the_primary_person_of_each_annotated_box(monkeypatch, tmp_path, mpii_truth):
    # Everybody is in two boxes of the pair: no suppression may take anybody away.
    model, _ = open_oracle(monkeypatch, tmp_path, mpii_truth, instances=2, skeleton=MPII, nms=None)
    done = evaluate(model, write_set(tmp_path / "set", mpii_truth), TRUTH)
    assert done.record.protocol.metric == "pckh"
    assert (done.record.protocol.boxes, done.record.protocol.nms) == ("ground truth", "none")
    assert [result["annotation_id"] for result in done.results] == [101, 102, 103, 104, 105, 106]
    assert done.record.numbers[""]["PCKh@0.5"] == pytest.approx(1)


def test_mpii_needs_annotated_boxes_and_all_of_them(monkeypatch, tmp_path, mpii_truth):
    model, _ = open_oracle(monkeypatch, tmp_path, mpii_truth, skeleton=MPII, nms=None)
    (tmp_path / "det.json").write_text(json.dumps(detections(mpii_truth, [1.0] * 6)))
    layout = write_set(tmp_path / "set", mpii_truth)
    with pytest.raises(UsageError, match="--boxes truth"):
        evaluate(model, layout, BoxSource(str(tmp_path / "det.json")))
    mpii_truth["annotations"][3]["bbox"] = [300, 40, 48, 80]
    with pytest.raises(EveryposeError, match=r"1 annotated boxes of .*3\.png cannot be cropped"):
        evaluate(model, write_set(tmp_path / "set", mpii_truth), TRUTH)


def test_boxes_of_another_split_are_an_error(tmp_path, truth):
    annotated = AnnotatedSet.read(write_set(tmp_path / "set", truth))
    rows = [row | {"image_id": 99} for row in detections(truth, [1.0] * 6)]
    (tmp_path / "det.json").write_text(json.dumps(rows))
    with pytest.raises(EveryposeError, match="boxes for none of the 3 images"):
        BoxSource(str(tmp_path / "det.json")).open(annotated)


def test_two_images_in_one_file_have_no_boxes_of_their_own(tmp_path, truth):
    truth["images"][1]["file_name"] = "1.png"
    annotated = AnnotatedSet.read(write_set(tmp_path / "set", truth))
    with pytest.raises(EveryposeError, match="the same file"):
        TRUTH.open(annotated)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"boxes": "truth", "detector": "boir-lite"}, "give one of them"),
        ({"boxes": "truth", "threshold": 0.0}, "have no scores"),
        ({"detector": "found.json"}, "give it as --boxes found.json"),
    ],
    ids=str,
)
def test_boxes_that_contradict_each_other(source, message):
    with pytest.raises(UsageError, match=message):
        BoxSource(**source)


@pytest.fixture
def colored(tmp_path):
    """The model file that finds what is red, and its set of one photo for the command line."""
    truth = content(BOXES[:1])
    layout = write_set(tmp_path / "set", truth)
    return write_model(tmp_path / "crops.onnx"), (
        "--annotations",
        layout.annotation_file,
        "--images",
        layout.image_root,
    )


def test_the_command_takes_every_kind_of_box(everypose, monkeypatch, tmp_path, colored):
    model, data = colored
    detector = stand_in.write_model(tmp_path / "stand_in.onnx")
    monkeypatch.setattr("everypose.models.locate.bundled", lambda _: detector)
    (tmp_path / "det.json").write_text(json.dumps(detections(content(BOXES[:1]), [0.5])))
    said = {}
    for name, options in {
        "truth": ("--boxes", "truth"),
        "file": ("--boxes", tmp_path / "det.json", "--box-threshold", "0.3"),
        "named": ("--detector", detector),
        "default": (),
    }.items():
        done = everypose("evaluate", model, *data, *options, "--json")
        assert done.code == 0, done.err
        said[name] = json.loads(done.out)["protocol"]["boxes"]
    digest = hashlib.sha256(detector.read_bytes()).hexdigest()[:12]
    assert said["truth"] == "ground truth"
    assert said["file"].endswith(", score 0.3 or more")
    assert said["named"] == f"stand_in.onnx, sha256 {digest}"
    assert said["default"] == f"picodet-s, sha256 {digest}"


@pytest.mark.parametrize("option", [("--boxes", "truth"), ("--detector", "boir-lite"), ("--box-threshold", "0.5")])
def test_a_single_stage_model_refuses_boxes_in_one_line(everypose, tmp_path, colored, option):
    model = stand_in.write_model(tmp_path / "stand_in.onnx")
    done = everypose("evaluate", model, *colored[1], *option)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "finds people by itself" in done.err


def test_predictions_take_no_boxes(everypose, tmp_path, colored):
    (tmp_path / "results.json").write_text("[]")
    given = ("--predictions", tmp_path / "results.json", *colored[1][:2])
    done = everypose("evaluate", *given, "--boxes", "truth")
    assert (done.code, "--state boxes=" in done.err) == (2, True)
    done = everypose("evaluate", *given, "--size", "320")
    assert (done.code, "--state input_size=" in done.err) == (2, True)


def test_a_model_of_one_skeleton_has_no_other(everypose, colored):
    model, data = colored
    done = everypose("evaluate", model, *data, "--boxes", "truth", "--skeleton", "mpii")
    assert (done.code, "has one skeleton, coco" in done.err) == (2, True)
