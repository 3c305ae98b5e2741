"""Pose models of other projects as ONNX files of everypose: equal to their sources in every runtime and form."""

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from everypose.errors import EveryposeError, UsageError
from everypose.export.foreign import export_foreign
from everypose.export.int8 import quantize
from everypose.inference.boxes import Boxes
from everypose.inference.loading import load
from inference.crop_stand_in import save_graph
from inference.runtimes.fixed_input_files import write_detrpose, write_rtmo
from inference.runtimes.heatmap_files import write_heatmaps
from inference.runtimes.simcc_files import CROP, write_simcc

RNG = np.random.default_rng(0)
SHAPES = ((120, 160, 3), (200, 90, 3))
IMAGES = [cv2.resize(RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8), shape[1::-1]) for shape in SHAPES]
BOXES = Boxes(np.array([[10.0, 20, 60, 110], [30, 5, 85, 100], [0, 0, 40, 40]]), np.array([0.9, 0.5, 0.4]))
WRITERS = {
    "simcc": write_simcc,
    "rtmo": write_rtmo,
    "detrpose": write_detrpose,
    "vitpose-s-coco": write_heatmaps,
    "vitpose-s-coco_25": lambda path, keypoints=25: write_heatmaps(path, keypoints),
}
TOP_DOWN = ("simcc", "vitpose")
TOLERANCES = {"vitpose-s-coco": 0.02}
"""Of x and y, where they depend on second differences of logarithms."""
DEVICES = ["cpu", "openvino"]


def found(path, *, device="cpu", flip=False):
    """People of the images, in one batch; top-down models get boxes."""
    boxes = {"detector": lambda _: BOXES, "flip": flip} if path.name.startswith(TOP_DOWN) else {}
    pose = load(path, device=device, min_score=0.3 if not boxes else 0.0, batch_size=2, **boxes)
    return [people.keypoints for people in pose(IMAGES)]


def assert_equal(first, second, tolerance):
    for one, other in zip(first, second, strict=True):
        assert one.shape == other.shape
        assert len(one) > 1
        assert other == pytest.approx(one, abs=tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", WRITERS)
def test_the_export_equals_its_source(kind, device, tmp_path):
    if device == "openvino":
        pytest.importorskip("openvino")
    path, out = WRITERS[kind](tmp_path / f"{kind}.onnx"), tmp_path / f"{kind}-everypose.onnx"
    config = export_foreign(path, out)
    assert load(out).config == config
    assert_equal(found(path), found(out, device=device), TOLERANCES.get(kind, 1e-3))
    graph = onnx.load(out).graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind.startswith(TOP_DOWN)])
def test_the_flip_test_is_in_the_graph(kind, device, tmp_path):
    if device == "openvino":
        pytest.importorskip("openvino")
    path, out = WRITERS[kind](tmp_path / f"{kind}.onnx"), tmp_path / f"{kind}-everypose.onnx"
    export_foreign(path, out)
    assert_equal(found(path, flip=True), found(out, device=device, flip=True), TOLERANCES.get(kind, 1e-3))


@pytest.mark.parametrize("kind", WRITERS)
def test_half_the_size(kind, tmp_path):
    path = WRITERS[kind](tmp_path / f"{kind}.onnx", 133 if kind.startswith(TOP_DOWN) else 17)
    full, half = tmp_path / f"{kind}-full.onnx", tmp_path / f"{kind}-half.onnx"
    export_foreign(path, full)
    export_foreign(path, half, half=True)
    assert half.stat().st_size < 0.65 * full.stat().st_size
    for one, other in zip(found(full), found(half), strict=True):
        assert one.shape == other.shape
        assert np.median(np.abs(one - other)) < 0.05


def test_no_people(tmp_path):
    for kind in ("rtmo", "detrpose"):
        out = tmp_path / f"{kind}-everypose.onnx"
        export_foreign(WRITERS[kind](tmp_path / f"{kind}.onnx"), out)
        assert len(load(out, min_score=1.0)(IMAGES[0])) == 0


def test_names_and_families(tmp_path):
    path = write_rtmo(tmp_path / "rtmo.onnx", names=("a", "b"))
    with pytest.raises(EveryposeError, match="name its family with --family"):
        export_foreign(path, tmp_path / "out.onnx")
    export_foreign(path, tmp_path / "rtmo-out.onnx", family="rtmo")
    assert_equal(found(write_rtmo(tmp_path / "rtmo-same.onnx")), found(tmp_path / "rtmo-out.onnx"), 1e-3)
    hands = write_simcc(tmp_path / "hands.onnx", 21)
    assert export_foreign(hands, tmp_path / "out.onnx", skeleton="interhand2d").skeleton.name == "interhand2d"


def test_a_file_of_one_image_is_refused_and_nothing_is_written(tmp_path):
    path = write_simcc(tmp_path / "one.onnx", batch=1)
    # A network that knows its batch: the shape of a reshape is that of one image.
    model = onnx.load(path)
    for constant in model.graph.initializer:
        if constant.name in ("x_shape", "y_shape"):
            values = onnx.numpy_helper.to_array(constant).copy()
            values[0] = 1
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    onnx.save(model, path)
    with pytest.raises(EveryposeError, match="takes one image at a time"):
        export_foreign(path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_export_on_the_command_line(tmp_path, everypose):
    path = write_simcc(tmp_path / "simcc.onnx")
    out = tmp_path / "simcc-everypose.onnx"
    done = everypose("export", path, "--family", "rtmpose", "-o", out)
    assert done.code == 0, done.err
    assert_equal(found(path), found(out), 1e-3)
    again = everypose("export", out, "-o", tmp_path / "again.onnx")
    assert (again.code, "is an ONNX file of everypose already" in again.err) == (2, True)
    assert not (tmp_path / "again.onnx").exists()
    half = everypose("export", out, "--half", "-o", tmp_path / "simcc-half.onnx")
    assert half.code == 0, half.err
    assert found(tmp_path / "simcc-half.onnx")[0].shape == found(path)[0].shape
    detector = everypose("export", "picodet-s", "-o", tmp_path / "detector.onnx")
    assert (detector.code, "is a detector, which is used as it is" in detector.err) == (2, True)


def write_deep(path):
    """RTMPose's input and outputs after three convolutions, of which the second and third read others."""
    rng = np.random.default_rng(1)
    constants = {
        "first": rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "second": rng.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32),
        "columns": rng.normal(0, 0.05, (17, 8, CROP.height, 1)).astype(np.float32),
        "rows": rng.normal(0, 0.05, (17, 8, 1, CROP.width)).astype(np.float32),
        "x_shape": np.array([-1, 17, CROP.width], np.int64),
        "y_shape": np.array([-1, 17, CROP.height], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Conv", ["e", "columns"], ["x_maps"]),
        helper.make_node("Conv", ["e", "rows"], ["y_maps"]),
        helper.make_node("Reshape", ["x_maps", "x_shape"], ["simcc_x"]),
        helper.make_node("Reshape", ["y_maps", "y_shape"], ["simcc_y"]),
    ]
    inputs = {"input": (TensorProto.FLOAT, ["batch", 3, CROP.height, CROP.width])}
    outputs = {
        "simcc_x": (TensorProto.FLOAT, ["batch", 17, CROP.width]),
        "simcc_y": (TensorProto.FLOAT, ["batch", 17, CROP.height]),
    }
    return save_graph(path, nodes, constants, inputs, outputs)


@pytest.mark.parametrize("device", DEVICES)
def test_int8_of_a_top_down_model(device, tmp_path, monkeypatch):
    """Convolutions before others become int8; the last ones, whose outputs are scores, do not."""
    if device == "openvino":
        pytest.importorskip("openvino")
    photos = [str(tmp_path / f"{index}.png") for index in range(2)]
    for photo, image in zip(photos, IMAGES, strict=True):
        cv2.imwrite(photo, image[..., ::-1])
    full, int8 = tmp_path / "simcc-full.onnx", tmp_path / "simcc-int8.onnx"
    export_foreign(write_deep(tmp_path / "simcc.onnx"), full)
    monkeypatch.setattr("everypose.export.int8_crops.load", lambda path, **_: load(path, detector=lambda _: BOXES))
    assert quantize(full, photos, int8) == 2
    kinds = [node.op_type for node in onnx.load(int8).graph.node]
    assert (kinds.count("Conv"), kinds.count("QuantizeLinear") > 2) == (4, True)
    model = onnx.load(int8)
    floats = {one.name for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == 4}
    assert {name.rsplit("/", 1)[1] for name in floats} == {"columns", "rows"}
    for one, other in zip(found(full), found(int8, device=device), strict=True):
        assert other[..., 2] == pytest.approx(one[..., 2], abs=0.04)
        assert (np.abs(one[..., :2] - other[..., :2]).max(axis=2) < 2).mean() > 0.8


def test_int8_needs_layers_before_the_last(tmp_path):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), IMAGES[0])
    out = tmp_path / "rtmo-everypose.onnx"
    export_foreign(write_rtmo(tmp_path / "rtmo.onnx"), out)
    with pytest.raises(UsageError, match="has no backbone in float32 that could become int8"):
        quantize(out, [str(photo)], tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()
