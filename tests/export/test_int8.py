"""A backbone in 8 bits: what changes, what stays, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from everypose.backbones.normalization import IMAGENET, Normalization
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.settings import OpenPoseLightSettings
from everypose.errors import UsageError
from everypose.export.int8 import quantize, take_pixels
from everypose.export.onnx import export_onnx
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, tiny_boir

COCO = Skeleton.named("coco").to_dict()
PARTS = ("/backbone/", "/neck/", "/center/")
KEPT = ("/backbone/places/", "/center/output/")
JOIN = "/neck/Concat"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(4):
        coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    config = ModelConfig(name="tiny", network=TINY_BOIR, skeleton=COCO, inference=SingleStageInference(size=64))
    export_onnx(tiny_boir().eval(), config, path)
    return path


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "light.onnx"
    settings = BoIRSettings(
        backbone=OpenPoseLightSettings(), instance=8, neck_squeeze=8, neck_branch=8, neck=8, head=8, auxiliary=False
    )
    inference = SingleStageInference(size=64, step=16, search="coarse")
    torch.manual_seed(0)
    network = build_network(settings, 17).eval()
    export_onnx(network, ModelConfig(name="light", network=settings, skeleton=COCO, inference=inference), path)
    return path


def test_what_looks_at_whole_images_becomes_int8(exported: Path, photos: Path, tmp_path: Path) -> None:
    assert quantize(exported, [str(photos)], tmp_path / "int8.onnx", most=3) == 3
    graph = onnx.load(tmp_path / "int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    in_8_bits = [node for node in convolutions if node.name.startswith(PARTS) and not node.name.startswith(KEPT)]
    assert {made_by.get(node.input[0]) for node in in_8_bits} == {"DequantizeLinear"}
    others = [node for node in convolutions if node not in in_8_bits]
    assert others
    assert "DequantizeLinear" not in {made_by.get(name) for node in others for name in node.input[1:]}
    assert OnnxRuntime.open(tmp_path / "int8.onnx").config == OnnxRuntime.open(exported).config


def is_int8(node: onnx.NodeProto) -> bool:
    """Whether a node reads 8 bits and its result is rounded to them."""
    chosen = node.op_type in ("Conv", "Relu", "Add") and node.name.startswith(PARTS) and not node.name.startswith(KEPT)
    return chosen or node.name == JOIN


@pytest.mark.parametrize("model", ["exported", "light"])
def test_only_what_becomes_int8_is_rounded(
    model: str, photos: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    quantize(request.getfixturevalue(model), [str(photos)], tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    made_by = {name: node for node in graph.node for name in node.output}
    others = [node for node in graph.node if not is_int8(node) and node.op_type != "QuantizeLinear"]
    for reader in others:
        for name in reader.input:
            bits = made_by[name].input[0] if name in made_by and made_by[name].op_type == "DequantizeLinear" else ""
            # Biases of 0 are one constant, which is in 8 bits for all.
            if bits in made_by:
                assert reader.op_type != "Shape"
                assert is_int8(made_by[made_by[bits].input[0]]), f"{reader.name} could read what was not rounded"


def test_places_are_not_rounded(light: Path, photos: Path, tmp_path: Path) -> None:
    quantize(light, [str(photos)], tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    places = [node for node in graph.node if node.name.startswith("/backbone/places/")]
    assert {"Conv", "Sin", "Cos"} <= {node.op_type for node in places}
    read = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input}
    assert not read & {name for node in places for name in node.output}
    from_bits = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    rounded = [node.op_type for node in places if from_bits & set(node.input)]
    assert rounded == ["Conv"], "nothing in 8 bits is read but the detail, by the convolution that tells offsets"


def test_the_views_of_the_neck_are_joined_in_8_bits(exported: Path, photos: Path, tmp_path: Path) -> None:
    quantize(exported, [str(photos)], tmp_path / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"), options, providers=["CPUExecutionProvider"])
    joins = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node if node.name == JOIN]
    assert joins == ["QLinearConcat"]


def test_it_finds_about_the_same(exported: Path, photos: Path, tmp_path: Path) -> None:
    quantize(exported, [str(photos)], tmp_path / "int8.onnx")
    photo = photos / "0.png"
    exact, rough = (load(path, min_score=0)(photo) for path in (exported, tmp_path / "int8.onnx"))
    assert len(exact) > 0
    assert abs(len(exact) - len(rough)) <= max(3, len(exact) // 3)
    assert abs(float(exact.scores[0] - rough.scores[0])) < 0.1


def test_what_cannot_become_int8(exported: Path, photos: Path, tmp_path: Path) -> None:
    quantize(exported, [str(photos)], tmp_path / "int8.onnx")
    with pytest.raises(UsageError, match="int8 already"):
        quantize(tmp_path / "int8.onnx", [str(photos)], tmp_path / "again.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        quantize(exported, [str(tmp_path / "empty")], tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()


def normalized_in_8_bits(normalization: Normalization, scale: float, zero: int) -> onnx.ModelProto:
    """uint8 pixels (B, H, W, 3), normalized, to 8 bits and back: (B, 3, H, W)."""
    mean, factor = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    constants = {"mean": mean * 255, "factor": 1 / (factor * 255), "scale": np.float32(scale), "zero": np.uint8(zero)}
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Cast", ["images"], ["real"], to=onnx.TensorProto.FLOAT),
        node("Sub", ["real", "mean"], ["shifted"]),
        node("Mul", ["shifted", "factor"], ["scaled"]),
        node("Transpose", ["scaled"], ["moved"], perm=[0, 3, 1, 2]),
        node("QuantizeLinear", ["moved", "scale", "zero"], ["bits"]),
        node("DequantizeLinear", ["bits", "scale", "zero"], ["seen"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "normalized",
        [value("images", onnx.TensorProto.UINT8, ["b", "h", "w", 3])],
        [value("seen", onnx.TensorProto.FLOAT, ["b", 3, "h", "w"])],
        [onnx.numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


GRAY = OpenPoseLight.normalization


@pytest.mark.parametrize(
    ("normalization", "scale", "zero", "left"),
    [
        (GRAY, 1 / 255, 128, ["Transpose", "DequantizeLinear"]),
        (GRAY, 1 / 250, 128, None),
        (GRAY, 1 / 255, 127, None),
        (IMAGENET, 1 / 58, 124, None),
    ],
)
def test_pixels_are_taken_as_they_are_where_8_bits_say_the_same(
    normalization: Normalization, scale: float, zero: int, left: list[str] | None
) -> None:
    model = normalized_in_8_bits(normalization, scale, zero)
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(1, 16, 16, 3)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": pixels})[0]
    whole = [node.op_type for node in model.graph.node]
    take_pixels(model.graph)
    assert [node.op_type for node in model.graph.node] == (left or whole)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": pixels})[0]
    np.testing.assert_array_equal(before, after)
