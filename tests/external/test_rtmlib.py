"""RTMPose-shaped files in rtmlib and in everypose: equal keypoints.

rtmlib is in an environment of its own: `make test-transformers` installs it. Without it these tests are skipped.
It feeds images as OpenCV reads them, BGR, to networks that were trained on RGB; here both get RGB.
"""

import numpy as np
import pytest

from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.inference.top_down import TopDownEstimator
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
