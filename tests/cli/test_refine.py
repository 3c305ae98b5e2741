"""``everypose refine`` and ``everypose predict --refine``."""

import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from everypose.models.config import METADATA_KEY
from inference.pose_stand_in import refiner_config

MOVE = np.array([2.0, -1.0], np.float32)


@pytest.fixture(scope="module")
def posefix(tmp_path_factory):
    """A refinement model that moves each keypoint by ``MOVE`` crop pixels, as ONNX."""
    node = helper.make_node
    nodes = [
        node("Slice", ["poses", "start", "end", "axis"], ["places"]),
        node("Add", ["places", "move"], ["moved"]),
        node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        node("ReduceMax", ["floats"], ["brightest"], keepdims=0),
        node("ReduceSum", ["mirrored"], ["flips"], keepdims=0),
        node("Add", ["brightest", "flips"], ["unused"]),
        node("Mul", ["unused", "zero"], ["nothing"]),
        node("Add", ["moved", "nothing"], ["keypoints"]),
    ]
    constants = {"start": [0], "end": [2], "axis": [2]}
    tensors = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(MOVE, "move"), numpy_helper.from_array(np.float32(0), "zero")]
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "h", "w", 3]),
        helper.make_tensor_value_info("poses", TensorProto.FLOAT, ["batch", 17, 3]),
        helper.make_tensor_value_info("mirrored", TensorProto.FLOAT, ["flip"]),
    ]
    outputs = [helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["batch", 17, 2])]
    model = helper.make_model(
        helper.make_graph(nodes, "moves", inputs, outputs, tensors), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    helper.set_model_props(model, {METADATA_KEY: json.dumps(refiner_config().model_dump(mode="json"))})
    path = tmp_path_factory.mktemp("posefix") / "moves.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def results(tmp_path):
    """Saved results of one photo, and its folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((100, 100, 3), np.uint8))
    keypoints = np.random.default_rng(0).uniform((10, 10, 0.1), (80, 80, 1), (17, 3))
    entry = {"image_id": 1, "file_name": "a.png", "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": 1}
    path = tmp_path / "results.json"
    path.write_text(json.dumps([entry]))
    return path, folder


def test_refine_writes_results_with_better_keypoints(everypose, posefix, results, tmp_path):
    path, folder = results
    done = everypose("refine", path, "--images", folder, "-m", posefix, "-o", tmp_path / "out/refined.json")
    assert done.code == 0, done.err
    assert "1 people in 1 images refined, 0 duplicates left out" in done.out
    (before,), (after,) = json.loads(path.read_text()), json.loads((tmp_path / "out/refined.json").read_text())
    moved = np.reshape(after["keypoints"], (17, 3)) - np.reshape(before["keypoints"], (17, 3))
    np.testing.assert_allclose(moved[:, :2] / moved[0, 0], np.tile(MOVE / MOVE[0], (17, 1)), atol=1e-3)
    assert moved[0, 0] > 0
    as_json = everypose(
        "refine", path, "--images", folder, "-m", posefix, "-o", tmp_path / "b.json", "--json", "--flip"
    )
    assert json.loads(as_json.out)["people"] == 1


def test_a_missing_image_is_named_and_its_people_stay(everypose, posefix, results, tmp_path):
    path, folder = results
    (folder / "a.png").rename(folder / "b.png")
    done = everypose("refine", path, "--images", folder, "-m", posefix, "-o", tmp_path / "refined.json")
    assert done.code == 1
    assert "a.png" in done.err
    assert json.loads((tmp_path / "refined.json").read_text()) == json.loads(path.read_text())


def test_wrong_usage_is_one_line(everypose, posefix, results, tmp_path):
    path, folder = results
    for arguments, words in (
        ((path, "--images", tmp_path / "nowhere", "-m", posefix), "there is no such folder"),
        ((path, "--images", folder, "-m", "boir-lite"), "finds people and refines none"),
    ):
        done = everypose("refine", *arguments, "-o", tmp_path / "out.json")
        assert done.code == 2
        assert words in done.err
        assert len(done.err.strip().splitlines()) == 1


def test_predict_refines_with_a_second_model(predict, posefix, photos, tmp_path):
    assert predict(photos, "--save", "json").code == 0
    plain = json.loads((tmp_path / "out/results.json").read_text())
    done = predict(photos, "--save", "json", "--refine", posefix)
    assert done.code == 0, done.err
    refined = json.loads((tmp_path / "out/results.json").read_text())
    assert len(refined) == len(plain)
    assert all(one["keypoints"] != other["keypoints"] for one, other in zip(refined, plain, strict=True))
    assert [one["score"] for one in refined] == [one["score"] for one in plain]


def test_a_refiner_is_no_estimator(everypose, posefix, photos, tmp_path):
    done = everypose("predict", photos, "-m", posefix, "-o", tmp_path / "out")
    assert done.code == 2
    assert "refines poses and finds no people" in done.err


def test_an_input_is_not_replaced(everypose, results, tmp_path):
    path, folder = results
    other = tmp_path / "other.json"
    other.write_text("[]")
    before = path.read_bytes()
    for arguments in (
        ("refine", path, "--images", folder, "-m", "nothing.onnx", "-o", path),
        ("data", "join", path, other, "-o", path),
        ("data", "sigmas", path, other, "-o", path),
        ("data", "convert", path, "-o", path),
        ("evaluate", "--predictions", path, "--annotations", other, "-o", path),
        ("evaluate", "--predictions", other, "--annotations", path, "--report", path),
    ):
        done = everypose(*arguments)
        assert done.code == 2, arguments
        assert "would replace" in done.err
        assert path.read_bytes() == before
