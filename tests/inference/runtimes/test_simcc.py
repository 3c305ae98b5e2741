"""RTMPose's ONNX files as models: recognized by inputs and outputs, run on RGB crops, tracked like others."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.inference.runtimes.normalized_crops import MEAN, STD, takes_batches
from everypose.inference.runtimes.onnx import open_session
from everypose.inference.runtimes.simcc import SimCCRuntime, simcc_config
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.config import ModelConfig
from everypose.models.storage import load_model, save_model
from inference.runtimes.simcc_files import CROP, write_simcc

RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 256, (3, CROP.height, CROP.width, 3), dtype=np.uint8)
IMAGE = RNG.integers(0, 256, (120, 160, 3), dtype=np.uint8)
BOXES = Boxes(np.array([[10.0, 20, 60, 110], [80, 5, 150, 100]]), np.array([0.9, 0.5]))


def runtime(path, *, flip=False, skeleton=None):
    session = open_session(path, 1)
    config = simcc_config(session, path, skeleton)
    return SimCCRuntime(session, config, path, batches=takes_batches(session), flip=flip)


def literal(path, crop):
    """Keypoints of one crop, from the file's own outputs."""
    planes = ((crop.astype(np.float64) - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    across, down = open_session(path, 1).run(["simcc_x", "simcc_y"], {"input": planes})
    found = []
    for x_scores, y_scores in zip(across[0], down[0], strict=True):
        score = (x_scores.max() + y_scores.max()) / 2
        found.append([x_scores.argmax() / 2, y_scores.argmax() / 2, score] if score > 0 else [0, 0, score])
    return np.array(found)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_keypoints_of_crops(tmp_path, batch):
    path = write_simcc(tmp_path / "rtmpose.onnx", batch=batch)
    found = runtime(path).run(CROPS)
    assert found.shape == (3, 1, 17, 3)
    for crop, keypoints in zip(CROPS, found, strict=True):
        assert keypoints[0] == pytest.approx(literal(path, crop), abs=1e-4)


def test_the_flip_test_of_mirrored_crops_gives_mirrored_scores(tmp_path):
    path = write_simcc(tmp_path / "rtmpose.onnx")
    flipped = runtime(path, flip=True)
    found, mirrored = flipped.run(CROPS), flipped.run(CROPS[:, :, ::-1])
    index = flipped.config.skeleton.flip_index
    assert mirrored[:, :, index, 2] == pytest.approx(found[..., 2], abs=1e-5)
    assert CROP.width - 0.5 - mirrored[:, :, index, 0] == pytest.approx(found[..., 0], abs=1e-4)


@pytest.mark.parametrize(("keypoints", "name"), [(17, "coco"), (26, "halpe26"), (133, "coco_wholebody")])
def test_a_file_is_a_model(tmp_path, keypoints, name):
    path = write_simcc(tmp_path / "model.onnx", keypoints)
    pose = load(path, detector=lambda _: BOXES, min_score=0.0)
    assert isinstance(pose, TopDownEstimator)
    assert (pose.skeleton.name, pose.config.on_crops.crop_size) == (name, CROP)
    people = pose(IMAGE)
    assert people.keypoints.shape[1:] == (keypoints, 3)
    (poses,) = pose.poses([Photo(IMAGE)])
    # The region of a box: enlarged to the aspect of the crop, then by 1.25; half a crop pixel is the finest step.
    center, size = np.array([35.0, 65.0]), 1.25 * np.array([90 * 48 / 64, 90.0])
    steps = (poses.keypoints[0, 0, :, :2] - center + size / 2) / size * CROP * 2
    assert steps == pytest.approx(np.rint(steps), abs=1e-3)


def test_the_skeleton_of_another_number_of_keypoints_is_named(tmp_path):
    path = write_simcc(tmp_path / "hands.onnx", 21)
    with pytest.raises(UsageError, match=r"21 keypoints: say whose they are with --skeleton"):
        load(path)
    assert runtime(path, skeleton="interhand2d").config.skeleton.name == "interhand2d"
    with pytest.raises(UsageError, match=r"21 keypoints, but the skeleton coco has 17"):
        load(path, skeleton="coco")


def test_its_settings_are_of_no_network_in_torch(tmp_path):
    config = runtime(write_simcc(tmp_path / "rtmpose.onnx")).config
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.on_crops == TopDownInference(crop_size=CROP, decoder="simcc")
    torch = pytest.importorskip("torch")
    save_model(torch.nn.Linear(1, 1), config, tmp_path / "folder")
    with pytest.raises(EveryposeError, match="family simcc exists in ONNX files only"):
        load_model(tmp_path / "folder")


@pytest.mark.parametrize("batch", ["batch", 1])
def test_openvino_gives_the_same(tmp_path, batch):
    pytest.importorskip("openvino")
    path = write_simcc(tmp_path / "rtmpose.onnx", batch=batch)
    by_onnx, by_openvino = (
        load(path, detector=lambda _: BOXES, device=device, min_score=0.0)(IMAGE) for device in ("cpu", "openvino")
    )
    assert by_openvino.keypoints == pytest.approx(by_onnx.keypoints, abs=1e-3)


def test_predict_on_the_command_line(tmp_path, everypose):
    path = write_simcc(tmp_path / "rtmpose.onnx", 26)
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    cv2.imwrite(str(photo), IMAGE[..., ::-1])
    done = everypose("predict", photo, "-m", path, "--boxes", "image", "--min-score", "0", "-o", out)
    assert done.code == 0, done.err
    (person,) = json.loads((out / "results.json").read_text())
    assert len(person["keypoints"]) == 3 * 26


@pytest.mark.parametrize("inputs", [("input",), ("orig_target_sizes", "input")])
def test_shapes_of_another_kind_of_file_are_one_line(inputs):
    declared = {"input": [1, 3, 64, 48], "orig_target_sizes": [], "simcc_x": [17], "simcc_y": [17]}
    nodes = {name: SimpleNamespace(name=name, shape=shape) for name, shape in declared.items()}
    session = SimpleNamespace(
        get_inputs=lambda: [nodes[name] for name in inputs], get_outputs=lambda: [nodes["simcc_x"], nodes["simcc_y"]]
    )
    with pytest.raises(EveryposeError, match=r"odd\.onnx does not say the size of its crops"):
        simcc_config(session, Path("odd.onnx"))
    assert takes_batches(session) is (inputs[0] == "orig_target_sizes")
