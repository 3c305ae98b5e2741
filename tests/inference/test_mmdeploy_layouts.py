"""YOLOX and RTMDet as MMDeploy exports them: distinguished from RF-DETR, and by the family that is named."""

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper

from everypose.errors import EveryposeError
from everypose.inference.box_fusion import FusedDetectors
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.onnx_detectors import OnnxDetector
from everypose.inference.runtimes.onnx import open_session
from everypose.models.identity import identify_model
from inference.crop_stand_in import save_graph

SIDE = 64
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
QUARTERS = [[x, y, x + 32, y + 32] for y in (0, 32) for x in (0, 32)]


def write(path):
    """A file whose boxes are the quarters of its input; a score is the mean of the quarter's last plane times 0.01."""
    constants = {
        "weights": np.full((1, 1, 32, 32), 0.01 / 32**2, np.float32), "two": np.array([2], np.int64),
        "three": np.array([3], np.int64), "one": np.array([1], np.int64), "column": np.array([-1, 4, 1], np.int64),
        "zero": np.zeros((1, 4, 1), np.float32), "quarters": np.array([QUARTERS], np.float32),
        "classes": np.array([[0, 0, 1, 0]], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["input", "two", "three", "one"], ["red"]),
        helper.make_node("Conv", ["red", "weights"], ["means"], strides=[32, 32]),
        helper.make_node("Reshape", ["means", "column"], ["scores"]),
        helper.make_node("Mul", ["scores", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "quarters"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "scores"], ["dets"], axis=2),
        helper.make_node("Identity", ["classes"], ["labels"]),
    ]
    outputs = {"dets": (TensorProto.FLOAT, [1, 4, 5]), "labels": (TensorProto.INT64, [1, 4])}
    return save_graph(path, nodes, constants, {"input": (TensorProto.FLOAT, [1, 3, SIDE, SIDE])}, outputs)


def literal(mean, std):
    """Boxes in the image and scores: the image in the corner of a gray canvas, at 64 / 80."""
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    canvas[:40] = cv2.resize(IMAGE, (64, 40), interpolation=cv2.INTER_LINEAR)
    red = (canvas[..., 0].astype(float) - mean) / std
    scores = [red[y1:y2, x1:x2].mean() * 0.01 for x1, y1, x2, y2 in QUARTERS]
    return np.array([QUARTERS[index] for index in (0, 1, 3)]) / 0.8, [scores[index] for index in (0, 1, 3)]


@pytest.mark.parametrize(("family", "mean", "std"), [("yolox", 0, 1), ("rtmdet", 123.675, 58.395)])
def test_boxes_of_people(tmp_path, family, mean, std):
    path = write(tmp_path / "people.onnx")
    found = find_detector(f"{family}:{path}", 0.0)(Photo(IMAGE))
    boxes, scores = literal(mean, std)
    kept = np.array(scores) >= 0
    assert found.boxes == pytest.approx(boxes[kept])
    assert found.scores == pytest.approx(np.array(scores)[kept], abs=1e-4)


def test_the_family_must_be_named(tmp_path):
    path = write(tmp_path / "people.onnx")
    with pytest.raises(EveryposeError, match=f"name the family before the file, yolox:{path} or rtmdet:{path}"):
        find_detector(path)
    fused = find_detector(f"yolox:{path},picodet-s")
    assert isinstance(fused, FusedDetectors)
    named = identify_model(f"yolox:{path}")
    assert (named.name, named.sha256) == ("people.onnx", identify_model(path).sha256)


def test_the_catalog_names_the_family(tmp_path):
    """A release of the catalog is opened with its family."""
    path = write(tmp_path / "people.onnx")
    detector = OnnxDetector(open_session(path, 1), path, 0.0, family="yolox")
    assert len(detector(Photo(IMAGE))) == 3


def test_outputs_of_other_shapes_are_refused(tmp_path):
    path = write(tmp_path / "people.onnx")
    detector = OnnxDetector(open_session(path, 1), path, 0.0, family="yolox")
    with pytest.raises(EveryposeError, match=r"its dets and labels have the shapes \(1, 4, 4\) and \(1, 4\)"):
        detector._boxes([np.zeros((1, 4, 4)), np.zeros((1, 4), np.int64)], IMAGE)
