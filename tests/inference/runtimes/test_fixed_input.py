"""RTMO and DETRPose in ONNX files: recognized, decoded as a literal reference does, and used like other models."""

import json

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.fixed_input import FixedInputEstimator
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import open_session
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.serving.worker import describe
from inference.runtimes.fixed_input_files import INPUT, PEOPLE, write_detrpose, write_rtmo
from inference.runtimes.simcc_files import write_simcc

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((120, 160, 3), (200, 90, 3), (64, 96, 3))]
WRITERS = {"rtmo": write_rtmo, "detrpose": write_detrpose}


def corner(image):
    """The input of RTMO, by a loop over rows: scaled into the corner, gray elsewhere."""
    height, width = image.shape[:2]
    ratio = min(INPUT.width / width, INPUT.height / height)
    canvas = np.full((INPUT.height, INPUT.width, 3), 114, np.uint8)
    small = cv2.resize(image, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
    for row, line in enumerate(small):
        canvas[row, : len(line)] = line
    return canvas, ratio


def area(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def literal_rtmo(path, image, min_score, threshold=0.65):
    """People of one image: each candidate next to those that are kept."""
    canvas, ratio = corner(image)
    planes = canvas[:, :, [2, 1, 0]].transpose(2, 0, 1)[None].astype(np.float32)
    dets, points = open_session(path, 1).run(["dets", "keypoints"], {"input": planes})
    kept = []
    for index in sorted(range(len(dets[0])), key=lambda index: -dets[0][index, 4]):
        box = dets[0][index, :4].astype(float)
        overlaps = []
        for other in kept:
            b = dets[0][other, :4].astype(float)
            shared = area([max(box[0], b[0]), max(box[1], b[1]), min(box[2], b[2]), min(box[3], b[3])])
            overlaps.append(shared / (area(box) + area(b) - shared))
        if dets[0][index, 4] > min_score and all(overlap <= threshold for overlap in overlaps):
            kept.append(index)
    return points[0][kept] / [ratio, ratio, 1], dets[0][kept, 4]


def literal_detrpose(path, image, min_score):
    """People of one image, by the image's own size as the target size."""
    shrinks = image.shape[0] * image.shape[1] > INPUT.width * INPUT.height
    small = cv2.resize(image, tuple(INPUT), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    planes = (small.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    sizes = np.array([[image.shape[1], image.shape[0]]])
    feed = {"images": planes, "orig_target_sizes": sizes}
    scores, labels, points = open_session(path, 1).run(["scores", "labels", "keypoints"], feed)
    people = [
        (score, [[x, y, score] for x, y in pose])
        for score, label, pose in zip(scores[0], labels[0], points[0], strict=True)
        if label == 1 and score > min_score
    ]
    people.sort(key=lambda person: -person[0])
    return np.array([pose for _, pose in people]), np.array([score for score, _ in people])


LITERAL = {"rtmo": literal_rtmo, "detrpose": literal_detrpose}


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("family", WRITERS)
def test_people_of_images(family, batch, tmp_path):
    path = WRITERS[family](tmp_path / "model.onnx", batch=batch)
    pose = load(path, min_score=0.3, batch_size=2)
    assert isinstance(pose, FixedInputEstimator)
    assert pose.config.network.family == family
    for people, image in zip(pose(IMAGES), IMAGES, strict=True):
        keypoints, scores = LITERAL[family](path, image, 0.3)
        assert 3 < len(scores) < PEOPLE
        assert people.scores == pytest.approx(scores, abs=1e-5)
        assert people.keypoints == pytest.approx(keypoints, abs=1e-3)


def test_rtmo_suppresses_and_detrpose_does_not(tmp_path):
    rtmo, detrpose = (load(write(tmp_path / f"{name}.onnx"), min_score=0.0) for name, write in WRITERS.items())
    assert len(rtmo(IMAGES[0])) < PEOPLE
    assert len(detrpose(IMAGES[0])) == PEOPLE * 2 // 3
    assert (rtmo.config.min_score, rtmo.config.on_fixed_input.nms) == (0.1, 0.65)
    assert (detrpose.config.min_score, detrpose.config.on_fixed_input.nms) == (0.4, None)


@pytest.mark.parametrize("family", WRITERS)
def test_openvino_gives_the_same(family, tmp_path):
    pytest.importorskip("openvino")
    path = WRITERS[family](tmp_path / "model.onnx")
    by_onnx, by_openvino = (load(path, device=device, min_score=0.3)(IMAGES[0]) for device in ("cpu", "openvino"))
    assert by_openvino.keypoints == pytest.approx(by_onnx.keypoints, abs=1e-3)


@pytest.mark.parametrize("family", WRITERS)
def test_the_skeleton_follows_the_number_of_keypoints(family, tmp_path):
    assert load(WRITERS[family](tmp_path / "crowd.onnx", 14)).skeleton.name == "crowdpose"
    other = WRITERS[family](tmp_path / "other.onnx", 26)
    with pytest.raises(UsageError, match="26 keypoints: say whose they are with --skeleton"):
        load(other)
    assert load(other, skeleton="halpe26").skeleton.name == "halpe26"
    with pytest.raises(UsageError, match="26 keypoints, but the skeleton coco has 17"):
        load(other, skeleton="coco")


@pytest.mark.parametrize("family", WRITERS)
def test_what_such_a_model_cannot_do_is_said(family, tmp_path):
    path = WRITERS[family](tmp_path / "model.onnx")
    with pytest.raises(UsageError, match=f"no flip test for models of the family {family}"):
        load(path, flip=True)
    with pytest.raises(UsageError, match="takes images of 96 x 64 pixels: it has no other size"):
        load(path, size=128)
    with pytest.raises(UsageError, match="finds people by itself"):
        load(path, detector="picodet-s")
    config = load(path).config
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config
    torch = pytest.importorskip("torch")
    save_model(torch.nn.Linear(1, 1), config, tmp_path / "folder")
    with pytest.raises(EveryposeError, match=f"family {family} exists in ONNX files only"):
        load(tmp_path / "folder")


def test_files_with_other_names_need_their_family(tmp_path):
    files = {
        "rtmo": write_rtmo(tmp_path / "rtmo.onnx", names=("output_0", "output_1")),
        "detrpose": write_detrpose(tmp_path / "detrpose.onnx", names=("a", "b", "c")),
    }
    for family, path in files.items():
        with pytest.raises(EveryposeError, match=r"name its family with --family \(rtmpose, rtmw, rtmo, detrpose"):
            load(path)
        named, same = load(path, family=family, min_score=0.3), WRITERS[family](tmp_path / "same.onnx")
        assert named(IMAGES[0]).keypoints == pytest.approx(load(same, min_score=0.3)(IMAGES[0]).keypoints)
        other = "detrpose" if family == "rtmo" else "rtmo"
        with pytest.raises(EveryposeError, match=f"is no model of the family {other}, whose files have"):
            load(path, family=other)
    with pytest.raises(UsageError, match="there is no family 'yolo' of ONNX files: choose from rtmpose"):
        load(files["rtmo"], family="yolo")
    with pytest.raises(UsageError, match="states its family itself"):
        load("boir-lite", family="rtmo")


def test_simcc_files_with_other_names(tmp_path):
    path = write_simcc(tmp_path / "simcc.onnx", names=("x", "y"))
    same = write_simcc(tmp_path / "same.onnx")
    with pytest.raises(EveryposeError, match="name its family with --family"):
        load(path)
    boxes = {"detector": find_detector(write_rtmo(tmp_path / "rtmo.onnx"), 0.3), "min_score": 0.0}
    assert load(path, family="rtmpose", **boxes)(IMAGES[0]).keypoints == pytest.approx(
        load(same, **boxes)(IMAGES[0]).keypoints
    )


def test_it_gives_the_boxes_of_a_top_down_model(tmp_path):
    boxes = find_detector(write_rtmo(tmp_path / "rtmo.onnx"), 0.3)(Photo(IMAGES[0]))
    assert len(boxes) == len(load(tmp_path / "rtmo.onnx", min_score=0.3)(IMAGES[0]))


def test_a_server_describes_it(tmp_path):
    description = describe(load(write_rtmo(tmp_path / "model.onnx")))
    assert (description["size"], description["top_down"], description["min_score"]) == (INPUT, False, 0.1)


def test_predict_and_track_on_the_command_line(tmp_path, everypose):
    path = write_detrpose(tmp_path / "model.onnx")
    frames, out = tmp_path / "frames", tmp_path / "out"
    frames.mkdir()
    for index in range(3):
        cv2.imwrite(str(frames / f"{index}.png"), IMAGES[0])
    done = everypose("predict", frames, "-m", path, "--as-video", "--track", "--save", "json", "-o", out)
    assert done.code == 0, done.err
    found = json.loads((out / "results.json").read_text())
    assert {row["frame"] for row in found} >= {1, 2}
    assert len({row["track_id"] for row in found if row["frame"] == 2}) > 1


def test_evaluate_on_the_command_line(tmp_path, everypose):
    """AP of the model's own people is 1."""
    path = write_rtmo(tmp_path / "model.onnx")
    cv2.imwrite(str(tmp_path / "1.png"), IMAGES[0][..., ::-1])
    people = load(path)(IMAGES[0])
    annotations = [
        {
            "id": index, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 3000.0, "num_keypoints": 17,
            "bbox": [0, 0, 60, 50], "keypoints": [*np.insert(person.keypoints[:, :2], 2, 2, axis=1).ravel().tolist()],
        }
        for index, person in enumerate(list(people)[:3], 1)
    ]  # fmt: skip
    names = list(people.skeleton.keypoints)
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 160, "height": 120}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": []}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    data = ("--annotations", tmp_path / "truth.json", "--images", tmp_path)
    done = everypose("evaluate", path, *data, "--json", "--family", "rtmo")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["numbers"][""]["AP"] == pytest.approx(1, abs=1e-3)
    assert record["protocol"]["input_size"] == "96 x 64"
    assert record["protocol"]["nms"] == "box IoU 0.65"
