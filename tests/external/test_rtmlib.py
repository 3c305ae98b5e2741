"""RTMPose-shaped and RTMO-shaped files in rtmlib and in everypose: equal keypoints.

rtmlib is in an environment of its own: `make test-transformers` installs it. Without it these tests are skipped.
It feeds images as OpenCV reads them, BGR. RTMPose was trained on RGB, so here both get RGB; RTMO on BGR.
"""

import numpy as np
import pytest

from everypose.inference.boxes import Boxes, Photo
from everypose.inference.fixed_input import FixedInputEstimator
from everypose.inference.loading import load
from everypose.inference.runtimes.fixed_input import RtmoRuntime, rtmo_config
from everypose.inference.runtimes.onnx import open_session
from everypose.inference.top_down import TopDownEstimator
from inference.runtimes.fixed_input_files import INPUT, PEOPLE, write_rtmo
from inference.runtimes.simcc_files import CROP, write_simcc
from painted_people import painted_scene

rtmlib = pytest.importorskip("rtmlib")


@pytest.mark.parametrize("keypoints", [17, 26, 133])
def test_rtmpose(tmp_path, keypoints):
    path = write_simcc(tmp_path / "model.onnx", keypoints, batch="batch")
    image, _ = painted_scene(2, [(100, 20, 200), (220, 30, 190)])
    boxes = np.array([[55.0, 15.5, 145.0, 225.0], [170.5, 25.0, 270.0, 228.0], [-10.0, 100.0, 140.0, 190.0]])
    expected, scores = rtmlib.RTMPose(str(path), model_input_size=tuple(CROP))(image, boxes.tolist())

    pose = load(path, detector=lambda _: Boxes(boxes, np.ones(len(boxes))))
    assert isinstance(pose, TopDownEstimator)
    (found,) = pose.poses([Photo(image)])
    keypoints_found = found.keypoints[:, 0]
    assert keypoints_found[..., 2] == pytest.approx(scores, abs=1e-3)
    # Two coordinates may score equally up to rounding: the mean of each crop is then the first in one of them only.
    near = np.abs(keypoints_found[..., :2] - expected).max(axis=2) < 1e-2
    assert near[scores > 0].mean() > 0.99


@pytest.mark.parametrize("nms", [0.45, 0.65])
def test_rtmo(tmp_path, nms):
    path = write_rtmo(tmp_path / "model.onnx")
    image, _ = painted_scene(2, [(100, 20, 200), (220, 30, 190)])
    theirs = rtmlib.RTMO(str(path), model_input_size=(INPUT.height, INPUT.width), nms_thr=nms, score_thr=0.3)
    expected, scores = theirs(np.ascontiguousarray(image[..., ::-1]))

    session = open_session(path, 1)
    config = rtmo_config(session, path)
    config = config.model_copy(update={"inference": config.on_fixed_input.model_copy(update={"nms": nms})})
    pose = FixedInputEstimator(RtmoRuntime(session, config, path), config, min_score=0.3)
    people = pose(image)
    assert 1 < len(people) < PEOPLE
    assert people.keypoints[..., :2] == pytest.approx(expected, abs=1e-3)
    assert people.keypoints[..., 2] == pytest.approx(scores, abs=1e-5)
