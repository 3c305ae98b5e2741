"""The bundled detector and pose network against what the unmodified published files compute on the bundled pictures."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import everypose
from everypose.data.images import read_image
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.runtimes.onnx import OnnxCropRuntime
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.crops import CropGeometry, warp
from everypose.models.locate import bundled

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "tinypose.npz")
EXAMPLES = Path(everypose.__file__).parent / "examples"
PICTURES = ("astronaut", "group", "pedestrians")
CROPS = (("astronaut", 0), ("group", 0), ("group", 1), ("pedestrians", 0), ("pedestrians", 1))
KEYPOINTS = (0, 9, 12, 15)
PUBLISHED = os.environ.get("EVERYPOSE_TINYPOSE")


def crops():
    """The five crops (5, 256, 192, 3) around the published file's boxes."""
    geometry = CropGeometry()
    centers, sizes = geometry.regions([GOLDEN[f"boxes_{name}"][box] for name, box in CROPS])
    images = [read_image(EXAMPLES / f"{name}.jpg") for name, _ in CROPS]
    matrices = [geometry.matrix(center, size) for center, size in zip(centers, sizes, strict=True)]
    return np.stack([warp(image, matrix, geometry.size) for image, matrix in zip(images, matrices, strict=True)])


@pytest.mark.parametrize("name", PICTURES)
def test_boxes_equal_the_unmodified_detector(name):
    found = find_detector("picodet-s", threads=1)(Photo(read_image(EXAMPLES / f"{name}.jpg")))
    np.testing.assert_allclose(found.boxes, GOLDEN[f"boxes_{name}"], atol=1e-4)
    np.testing.assert_allclose(found.scores, GOLDEN[f"scores_{name}"], atol=1e-5)


def test_the_bundled_poses_stay_near_the_unmodified_network():
    """Further training moves keypoints that the published network is sure of by less than two cells of its heatmaps."""
    keypoints = OnnxCropRuntime.open(bundled("mipnet-lite.onnx"), threads=1).run(crops())[:, 0]
    sure = GOLDEN["confidences"] > 0.6
    moved = np.linalg.norm(keypoints[..., :2] - 4.0 * GOLDEN["peaks"], axis=-1)
    assert sure.sum() > 40
    assert (moved[sure] < 8).mean() > 0.95


def test_boxes_that_cannot_give_people_with_the_wanted_score_are_not_cropped():
    loaded: list[Any] = [everypose.load(threads=1, min_score=score) for score in (None, 0.0, 0.9)]
    thresholds = [pose.detector.threshold for pose in loaded]
    assert thresholds == [0.29, 0.2, pytest.approx(0.389, abs=1e-3)]


def test_people_above_a_score_are_the_same_whatever_the_box_threshold():
    picture = read_image(EXAMPLES / "group.jpg")
    for score in (0.6, 0.95):
        found = everypose.load(threads=1, min_score=score)(picture)
        expected = everypose.load(threads=1, min_score=score, box_threshold=0.2)(picture)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)


def test_people_are_the_same_if_the_others_of_all_boxes_are_computed():
    picture = read_image(EXAMPLES / "group.jpg")
    for score in (0.3, 0.6):
        pose = everypose.load(threads=1, min_score=score)
        assert isinstance(pose, TopDownEstimator)
        photo = pose.prepare(picture)
        (every,) = pose.poses([photo])
        expected = pose.people(every)
        np.testing.assert_allclose(pose(picture).keypoints, expected.keypoints, atol=1e-3)
        np.testing.assert_allclose(pose(picture).scores, expected.scores, atol=1e-6)


@pytest.mark.skipif(PUBLISHED is None, reason="needs PP-TinyPose's ONNX file in EVERYPOSE_TINYPOSE")
def test_heatmaps_equal_the_unmodified_network():
    torch = pytest.importorskip("torch")
    from everypose.models.import_checkpoint import import_checkpoint

    network, _ = import_checkpoint(Path(PUBLISHED))
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    images = ((crops().astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
    with torch.no_grad():
        heatmaps = network.heatmaps(torch.from_numpy(np.ascontiguousarray(images)))[:, 0].numpy()
    np.testing.assert_allclose(heatmaps[:, list(KEYPOINTS), ::2, ::2], GOLDEN["heatmaps"], atol=1e-5)
    np.testing.assert_allclose(heatmaps.max(axis=(2, 3)), GOLDEN["confidences"], atol=1e-5)
