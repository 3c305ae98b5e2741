"""ViTPose and ViTPose++ of transformers' files, in transformers and in everypose: heatmaps and keypoints.

transformers is in an environment of its own: `make test-transformers` installs it. Without it these tests are skipped.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from everypose.backbones.normalization import normalize
from everypose.core.geometry import Size
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.decoding import decode
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import resolve
from methods.vitpose.test_transformers_names import GOLDEN, golden_heatmaps, random_crops
from methods.vitpose.transformers_files import Layout
from painted_people import painted_scene

transformers = pytest.importorskip("transformers")

LAYOUTS = {
    "small": Layout(384, 2),
    "base": Layout(768, 2),
    "large": Layout(1024, 2),
    "huge": Layout(1280, 1),
    "base simple": Layout(768, 1, simple=True),
    "plus small": Layout(384, 2, experts=6, part=192),
    "plus small as the converter says": Layout(384, 2, experts=6, part=96),
    "plus huge": Layout(1280, 1, experts=6, part=320),
    "larger crops": Layout(384, 1, image_size=(288, 384)),
}


def theirs(folder: Path) -> torch.nn.Module:
    model: torch.nn.Module = transformers.VitPoseForPoseEstimation.from_pretrained(folder).eval()
    return model


def heatmaps(model: torch.nn.Module, pixels: torch.Tensor, layout: Layout) -> torch.Tensor:
    experts = {"dataset_index": torch.zeros(len(pixels), dtype=torch.long)} if layout.experts else {}
    with torch.no_grad():
        found: torch.Tensor = model(pixels, **experts).heatmaps
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_heatmaps(name, tmp_path):
    layout = LAYOUTS[name]
    folder = layout.write(tmp_path / "model")
    network, _ = import_checkpoint(resolve(folder).path)
    width, height = layout.image_size
    pixels = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, height, width)).astype(np.float32))
    expected = heatmaps(theirs(folder), pixels, layout)
    with torch.no_grad():
        found = network(pixels)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["small", "base simple", "plus small", "huge"])
def test_keypoints(name, tmp_path):
    """From the image and boxes to keypoints: crops, network, decoding, and back to the image."""
    layout = LAYOUTS[name]
    folder = layout.write(tmp_path / "model")
    image = cv2.GaussianBlur(painted_scene(1, [(100, 20, 200), (220, 30, 190)])[0], (0, 0), 2.0)
    boxes = np.array([[60.0, 40.0, 90.5, 180.25], [200.0, 30.0, 70.0, 200.0], [-20.0, 100.0, 150.0, 90.0]])
    processor = transformers.VitPoseImageProcessorPil()
    inputs = processor(image, boxes=[boxes.tolist()], return_tensors="pt")
    maps = heatmaps(theirs(folder), inputs["pixel_values"], layout)
    outputs = transformers.models.vitpose.modeling_vitpose.VitPoseEstimatorOutput(heatmaps=maps)
    expected = processor.post_process_pose_estimation(outputs, boxes=[boxes.tolist()])[0]

    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    pose = load(folder, detector=lambda _: Boxes(corners, np.ones(len(corners))))
    assert isinstance(pose, TopDownEstimator)
    seen = RuntimeOfMaps(maps)
    (found,) = TopDownEstimator(seen, pose.config, pose.detector).poses([Photo(image)])
    crops = normalize(torch.from_numpy(seen.crops))
    # Only where the image ends may they differ: there SciPy does not interpolate with the black outside.
    assert ((crops - inputs["pixel_values"]).abs() > 0.1).float().mean() < 0.01
    for person in range(len(boxes)):
        points, scores = (expected[person][key].numpy() for key in ("keypoints", "scores"))
        positive = scores > 0
        assert np.abs(found.keypoints[person, 0, positive, :2] - points[positive]).max() < 0.1
        assert found.keypoints[person, 0, :, 2] == pytest.approx(scores, abs=1e-6)


class RuntimeOfMaps:
    """A runtime that decodes given heatmaps, and keeps the crops that it was given."""

    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps
        self.crops = np.zeros(0, np.uint8)

    def run(self, crops: np.ndarray, _with_others: np.ndarray | None = None) -> np.ndarray:
        self.crops = crops
        return decode(self.maps[:, None], "udp-0.8", Size(crops.shape[2], crops.shape[1])).numpy()


def test_golden_values_are_those_of_transformers(tmp_path):
    for name, layout in GOLDEN.items():
        folder = layout.write(tmp_path / name)
        found = heatmaps(theirs(folder), random_crops(layout), layout)
        assert found.numpy() == pytest.approx(golden_heatmaps(name), abs=1e-5)
