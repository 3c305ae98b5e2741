"""Models of the real catalog, served by the stand-in, from their name to people."""

import json

import cv2
import numpy as np

from inference.test_onnx_detectors import yolox
from methods.vitpose.transformers_files import Layout
from models.downloads.hub_stand_in import COMMIT


def test_a_pose_model_and_a_detector_by_name(hub, everypose, tmp_path, monkeypatch):
    folder = Layout(image_size=(48, 64), simple=True).write(tmp_path / "files")
    (folder / "preprocessor_config.json").write_text("{}")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repository("usyd-community/vitpose-plus-base", files)
    cv2.imwrite(str(tmp_path / "crowd.png"), np.full((80, 80, 3), 99, np.uint8))
    detector = yolox(tmp_path / "yolox.onnx")
    run = ("predict", tmp_path / "crowd.png", "-m", "vitpose-plus-b", "--detector", detector, "-o", tmp_path / "out")
    done = everypose(*run)
    assert done.code == 0, done.err
    assert done.err.count("downloading http://127.0.0.1") == 3
    stored = json.loads((tmp_path / "out" / "run.json").read_text())
    assert stored["model"]["name"] == "vitpose-plus-b"
    assert stored["model"]["revision"] == COMMIT
    assert len(stored["model"]["sha256"]) == 64
    assert stored["detector"]["name"] == "yolox.onnx"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the second run needs no connection
    assert everypose(*run).code == 0
