"""easy_ViTPose's ONNX files as models: recognized, decoded as a literal reference does, and used like other models."""

import json

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.inference.runtimes.heatmaps import HeatmapRuntime, heatmap_config
from everypose.inference.runtimes.onnx import open_session
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from inference.runtimes.fixed_input_files import write_rtmo
from inference.runtimes.heatmap_files import CROP, STRIDE, write_heatmaps

RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 256, (3, CROP.height, CROP.width, 3), dtype=np.uint8)
IMAGE = cv2.resize(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120))
BOXES = Boxes(np.array([[10.0, 20, 60, 110], [80, 5, 150, 100]]), np.array([0.9, 0.5]))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def runtime(path, *, flip=False, batches=True):
    session = open_session(path, 1)
    return HeatmapRuntime(session, heatmap_config(session, path), path, batches=batches, flip=flip)


def heatmaps(path, crop):
    planes = ((crop / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    return open_session(path, 1).run(["output_0"], {"input_0": planes})[0][0]


def literal(plane, *, udp):
    """One keypoint, by OpenCV's blur and a linear system for UDP, or by a quarter of a cell."""
    height, width = plane.shape
    y, x = np.unravel_index(plane.argmax(), plane.shape)
    if not udp:
        inside = 1 < x < width - 1 and 1 < y < height - 1
        dx = np.sign(plane[y, x + 1] - plane[y, x - 1]) / 4 if inside else 0
        dy = np.sign(plane[y + 1, x] - plane[y - 1, x]) / 4 if inside else 0
        return [(x + dx) * STRIDE, (y + dy) * STRIDE, plane.max()]
    logs = np.pad(np.log(np.clip(cv2.GaussianBlur(plane.astype(np.float64), (11, 11), 0), 0.001, 50)), 1, mode="edge")
    a = logs[y : y + 3, x : x + 3]
    gradient = [(a[1, 2] - a[1, 0]) / 2, (a[2, 1] - a[0, 1]) / 2]
    xx, yy = a[1, 2] - 2 * a[1, 1] + a[1, 0] + 1.1920929e-07, a[2, 1] - 2 * a[1, 1] + a[0, 1] + 1.1920929e-07
    xy = (a[2, 2] - a[1, 2] - a[2, 1] + 2 * a[1, 1] - a[1, 0] - a[0, 1] + a[0, 0]) / 2
    step = np.linalg.solve([[xx, xy], [xy, yy]], gradient)
    scale = (CROP.width - 1) / (width - 1), (CROP.height - 1) / (height - 1)
    return [(x - step[0]) * scale[0], (y - step[1]) * scale[1], plane.max()]


@pytest.mark.parametrize("batch", ["batch_size", 1])
@pytest.mark.parametrize(("name", "keypoints", "udp"), [("coco", 17, True), ("coco_25", 25, False)])
def test_keypoints_of_crops(tmp_path, name, keypoints, udp, batch):
    path = write_heatmaps(tmp_path / f"vitpose-s-{name}.onnx", keypoints, batch)
    found = runtime(path, batches=batch != 1).run(CROPS)
    assert found.shape == (3, 1, keypoints, 3)
    for crop, people in zip(CROPS, found, strict=True):
        expected = np.array([literal(plane, udp=udp) for plane in heatmaps(path, crop)])
        assert people[0] == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("name", ["coco", "ap10k"])
def test_the_flip_test_averages_heatmaps(tmp_path, name):
    path = write_heatmaps(tmp_path / f"vitpose-s-{name}.onnx")
    flipped = runtime(path, flip=True)
    for crop, people in zip(CROPS, flipped.run(CROPS), strict=True):
        back = heatmaps(path, crop[:, ::-1])[flipped.config.skeleton.flip_index][:, :, ::-1]
        if name == "ap10k":
            # Mirrored heatmaps of classic crops are one cell too far to the left.
            back = np.concatenate([back[..., :1], back[..., :-1]], axis=2)
        mean = (heatmaps(path, crop) + back) / 2
        expected = [literal(plane, udp=name == "coco") for plane in mean]
        assert people[0] == pytest.approx(np.array(expected), abs=5e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("file", "keypoints", "skeleton"),
    [
        ("vitpose-b-coco", 17, "coco"),
        ("vitpose-b-coco_25", 25, "coco_25"),
        ("vitpose-l-wholebody", 133, "coco_wholebody"),
        ("vitpose-s-mpii", 16, "mpii"),
        ("vitpose-s-aic", 14, "aic"),
        ("vitpose-s-ap10k", 17, "ap10k"),
        ("vitpose-s-apt36k", 17, "apt36k"),
        ("renamed", 25, "coco_25"),
        ("renamed", 133, "coco_wholebody"),
        ("vitpose-b-coco", 16, "mpii"),
    ],
)
def test_every_published_skeleton(tmp_path, file, keypoints, skeleton):
    path = write_heatmaps(tmp_path / f"{file}.onnx", keypoints)
    pose = load(path, detector=lambda _: BOXES, min_score=0.0)
    assert isinstance(pose, TopDownEstimator)
    assert (pose.skeleton.name, pose.config.on_crops.crop_size) == (skeleton, CROP)
    is_udp = skeleton in ("coco", "mpii")
    assert (pose.config.on_crops.convention, pose.config.on_crops.decoder) == (
        ("udp", "udp") if is_udp else ("classic", "quarter")
    )
    assert pose.config.on_crops.crop == ("mpii" if skeleton == "mpii" else "box")
    assert pose(IMAGE).keypoints.shape[1:] == (keypoints, 3)


def test_keypoints_in_the_image_are_those_of_the_crops(tmp_path):
    pose = load(write_heatmaps(tmp_path / "vitpose-s-coco.onnx"), detector=lambda _: BOXES, min_score=0.0)
    assert isinstance(pose, TopDownEstimator)
    (poses,) = pose.poses([Photo(IMAGE)])
    in_crops = runtime(tmp_path / "vitpose-s-coco.onnx").run(np.stack(pose.crops(pose.prepare(IMAGE))))
    # The region of the first box: enlarged to 48 x 64 pixels' aspect, then by 1.25; UDP's factors are by sides less 1.
    center, size = np.array([35.0, 65.0]), 1.25 * np.array([90 * 48 / 64, 90.0])
    expected = in_crops[0, 0, :, :2] * size / (np.array(CROP) - 1) + center - size / 2
    assert poses.keypoints[0, 0, :, :2] == pytest.approx(expected, abs=1e-3)


def test_what_the_file_leaves_open_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match=r"17 keypoints: say whose .* --skeleton NAME \(coco, ap10k, apt36k\)"):
        load(write_heatmaps(tmp_path / "model.onnx"))
    assert load(tmp_path / "model.onnx", skeleton="coco").skeleton.name == "coco"
    with pytest.raises(UsageError, match=r"21 keypoints: say whose they are with --skeleton NAME$"):
        load(write_heatmaps(tmp_path / "hands.onnx", 21))
    with pytest.raises(UsageError, match="the keypoints of interhand2d are those of hands"):
        load(tmp_path / "hands.onnx", skeleton="interhand2d")
    with pytest.raises(UsageError, match="21 keypoints, but the skeleton coco has 17"):
        load(tmp_path / "hands.onnx", skeleton="coco")
    with pytest.raises(UsageError, match="the keypoints of ap10k are those of animals"):
        load(write_heatmaps(tmp_path / "vitpose-s-ap10k.onnx"))
    with pytest.raises(EveryposeError, match="does not say the size of its crops"):
        load(write_heatmaps(tmp_path / "open.onnx", states_sizes=False), skeleton="coco")


def test_files_with_other_names_need_their_family(tmp_path):
    path = write_heatmaps(tmp_path / "vitpose-s-coco.onnx", names=("pixels", "maps"))
    with pytest.raises(EveryposeError, match=r"its inputs \(pixels\) and outputs \(maps\) do not identify it"):
        load(path)
    (tmp_path / "same").mkdir()
    same = write_heatmaps(tmp_path / "same" / "vitpose-s-coco.onnx")
    boxes = {"detector": lambda _: BOXES, "min_score": 0.0}
    named = load(path, family="easy-vitpose", **boxes)
    assert named(IMAGE).keypoints == pytest.approx(load(same, **boxes)(IMAGE).keypoints)
    with pytest.raises(EveryposeError, match="is no model of the family easy-vitpose, whose files have one image to"):
        load(write_rtmo(tmp_path / "rtmo.onnx"), family="easy-vitpose")


def test_its_settings_are_of_no_network_in_torch(tmp_path):
    config = runtime(write_heatmaps(tmp_path / "vitpose-s-coco.onnx")).config
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config
    torch = pytest.importorskip("torch")
    save_model(torch.nn.Linear(1, 1), config, tmp_path / "folder")
    with pytest.raises(EveryposeError, match="family easy-vitpose exists in ONNX files only"):
        load(tmp_path / "folder")


@pytest.mark.parametrize("batch", ["batch_size", 1])
def test_openvino_gives_the_same(tmp_path, batch):
    pytest.importorskip("openvino")
    path = write_heatmaps(tmp_path / "vitpose-s-coco.onnx", batch=batch)
    by_onnx, by_openvino = (
        load(path, detector=lambda _: BOXES, device=device, min_score=0.0)(IMAGE) for device in ("cpu", "openvino")
    )
    assert by_openvino.keypoints == pytest.approx(by_onnx.keypoints, abs=0.02)


def test_predict_on_the_command_line(tmp_path, everypose):
    path = write_heatmaps(tmp_path / "vitpose-s-coco_25.onnx", 25)
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    cv2.imwrite(str(photo), IMAGE[..., ::-1])
    done = everypose("predict", photo, "-m", path, "--boxes", "image", "--min-score", "0", "-o", out)
    assert done.code == 0, done.err
    (person,) = json.loads((out / "results.json").read_text())
    assert len(person["keypoints"]) == 3 * 25
