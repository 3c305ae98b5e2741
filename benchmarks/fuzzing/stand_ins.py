"""Small ONNX models with everypose's inputs and outputs: a person in each image or crop, whatever it shows."""

import functools
import json

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.models.config import METADATA_KEY, ModelConfig
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
CROP = (48, 64)
_POINTS = np.concatenate([np.linspace((8, 6), (40, 42), 17), np.full((17, 1), 0.9)], axis=1).astype(np.float32)
Constants = dict[str, npt.NDArray[np.generic]]
Values = dict[str, tuple[int, list[str | int]]]


@functools.cache
def single_stage_model() -> bytes:
    """A model of whole images: one person in each, whose score is above 0.5."""
    node = helper.make_node
    nodes = [
        node("Shape", ["images"], ["shape"]),
        node("Gather", ["shape", "first"], ["batch"]),
        node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "kernel"], ["features"]),
        node("GlobalAveragePool", ["features"], ["means"]),
        node("Sigmoid", ["means"], ["chances"]),
        node("Reshape", ["chances", "flat"], ["scores"]),
        node("Concat", ["batch", "person"], ["size"], axis=0),
        node("Expand", ["points", "size"], ["keypoints"]),
        node("Squeeze", ["batch"], ["end"]),
        node("Range", ["zero", "end", "one"], ["image_index"]),
    ]
    constants: Constants = {
        "first": np.array([0], np.int64),
        "kernel": np.full((1, 3, 3, 3), 1e-4, np.float32),
        "flat": np.array([-1], np.int64),
        "person": np.array([17, 3], np.int64),
        "points": _POINTS[None],
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
    }
    config = {
        "name": "stand-in",
        "network": {"family": "boir", "backbone": {"kind": "lite"}},
        "skeleton": COCO.to_dict(),
        "inference": {"size": 64, "min_score": 0.0},
    }
    inputs: Values = {"images": (TensorProto.UINT8, ["B", "H", "W", 3]), "mirrored": (TensorProto.FLOAT, ["F"])}
    return _model(
        nodes,
        constants,
        {**inputs, "min_score": (TensorProto.FLOAT, [])},
        {
            "keypoints": (TensorProto.FLOAT, ["P", 17, 3]),
            "scores": (TensorProto.FLOAT, ["P"]),
            "image_index": (TensorProto.INT64, ["P"]),
        },
        json.dumps(config),
    )


@functools.cache
def top_down_model() -> bytes:
    """A model of crops: one person in each."""
    node = helper.make_node
    nodes = [
        node("Shape", ["images"], ["shape"]),
        node("Gather", ["shape", "first"], ["batch"]),
        node("Concat", ["batch", "person"], ["size"], axis=0),
        node("Expand", ["points", "size"], ["keypoints"]),
    ]
    constants: Constants = {
        "first": np.array([0], np.int64),
        "person": np.array([1, 17, 3], np.int64),
        "points": _POINTS[None, None],
    }
    config = ModelConfig.model_validate(
        {
            "name": "crop stand-in",
            "network": {"family": "mipnet"},
            "skeleton": COCO.to_dict(),
            "inference": {"crop_size": CROP, "min_score": 0.0},
        }
    )
    return _model(
        nodes,
        constants,
        {"images": (TensorProto.UINT8, ["B", "H", "W", 3]), "mirrored": (TensorProto.FLOAT, ["F"])},
        {"keypoints": (TensorProto.FLOAT, ["B", 1, 17, 3])},
        config.model_dump_json(),
    )


@functools.cache
def refiner_model() -> bytes:
    """A refiner: keypoints move by a pixel."""
    node = helper.make_node
    nodes = [
        node("Slice", ["poses", "start", "stop", "axis"], ["places"]),
        node("Add", ["places", "move"], ["keypoints"]),
    ]
    constants: Constants = {
        "start": np.array([0], np.int64),
        "stop": np.array([2], np.int64),
        "axis": np.array([2], np.int64),
        "move": np.array([1, 0], np.float32),
    }
    config = ModelConfig(
        name="refiner stand-in",
        network=PoseFixSettings(),
        skeleton=COCO,
        inference=RefinementInference.model_validate({"crop_size": CROP}),
    )
    return _model(
        nodes,
        constants,
        {
            "images": (TensorProto.UINT8, ["B", "H", "W", 3]),
            "poses": (TensorProto.FLOAT, ["B", 17, 3]),
            "mirrored": (TensorProto.FLOAT, ["F"]),
        },
        {"keypoints": (TensorProto.FLOAT, ["B", 17, 2])},
        config.model_dump_json(),
    )


def _model(
    nodes: list[onnx.NodeProto],
    constants: Constants,
    inputs: Values,
    outputs: Values,
    config: str,
) -> bytes:
    """An ONNX file; inputs and outputs by name, as (type, shape)."""
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: config})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
