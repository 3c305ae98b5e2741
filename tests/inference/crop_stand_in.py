"""A top-down model that needs no training: the primary person is what is red in a crop, the second what is blue.

A person's keypoints lie around the middle of the color, at `OFFSETS`; their confidence is its brightest value over
255, halved by the flip test. The literal twin is `people_of`.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

SKELETON = Skeleton.named("coco")
CROP = (48, 64)
OFFSETS = np.stack([np.linspace(-6, 6, 17), np.linspace(-8, 8, 17)[::-1]], axis=1)
CHANNELS = [0, 2]


def config(**inference) -> ModelConfig:
    """Its configuration."""
    inference = {"crop_size": CROP, "min_score": 0.0} | inference
    network = {"family": "mipnet"}
    return ModelConfig(name="crop stand-in", network=network, skeleton=SKELETON.to_dict(), inference=inference)


def people_of(crop, instances=2):
    """Keypoints (N, 17, 3) in pixels of one (H, W, 3) crop."""
    people = []
    for channel in CHANNELS[:instances]:
        weights = crop[..., channel].astype(np.float64)
        rows, columns = np.indices(weights.shape)
        total = weights.sum() + 1e-6
        middle = np.array([(columns * weights).sum() / total, (rows * weights).sum() / total])
        people.append([[*(middle + offset), weights.max() / 255] for offset in OFFSETS])
    return np.array(people, np.float32)


class CropStandIn:
    """The same model as a runtime in Python, which keeps the crops that it saw."""

    def __init__(self, instances=2):
        self.instances = instances
        self.batches = []

    def run(self, crops, _with_others=None):
        self.batches.append(crops)
        return np.stack([people_of(crop, self.instances) for crop in crops])


def write_model(path: Path, instances=2) -> Path:
    """Write the model as ONNX."""
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        node("Gather", ["floats", "channels"], ["colors"], axis=3),
        node("Transpose", ["colors"], ["weights"], perm=[0, 3, 1, 2]),
        node("ReduceSum", ["weights", "plane"], ["sums"], keepdims=1),
        node("Add", ["sums", "epsilon"], ["totals"]),
        node("Unsqueeze", ["weights", "last"], ["weights5"]),
        node("Mul", ["weights5", "positions"], ["moments"]),
        node("ReduceSum", ["moments", "plane"], ["moment_sums"], keepdims=0),
        node("Squeeze", ["totals", "last"], ["totals3"]),
        node("Div", ["moment_sums", "totals3"], ["middles"]),
        node("Unsqueeze", ["middles", "third"], ["middles4"]),
        node("Add", ["middles4", "offsets"], ["points"]),
        node("ReduceMax", ["weights"], ["brightest"], axes=[2, 3], keepdims=1),
        node("Size", ["mirrored"], ["flips"]),
        node("Cast", ["flips"], ["flips_float"], to=TensorProto.FLOAT),
        node("Add", ["flips_float", "one"], ["views"]),
        node("Mul", ["views", "full"], ["divisor"]),
        node("Div", ["brightest", "divisor"], ["confidence"]),
        node("Mul", ["confidence", "ones_k"], ["confidences"]),
        node("Concat", ["points", "confidences"], ["keypoints"], axis=3),
    ]
    rows, columns = np.indices(CROP[::-1])
    constants = {
        "channels": np.array(CHANNELS[:instances], np.int64),
        "plane": np.array([2, 3], np.int64),
        "last": np.array([-1], np.int64),
        "third": np.array([2], np.int64),
        "epsilon": np.array(1e-6, np.float32),
        "positions": np.stack([columns, rows], axis=-1)[None, None].astype(np.float32),
        "offsets": OFFSETS[None, None].astype(np.float32),
        "one": np.array(1, np.float32),
        "full": np.array(255, np.float32),
        "ones_k": np.ones((1, 1, 17, 1), np.float32),
    }
    return save_graph(
        path,
        nodes,
        constants,
        {"images": (TensorProto.UINT8, ["B", "H", "W", 3]), "mirrored": (TensorProto.FLOAT, ["F"])},
        {"keypoints": (TensorProto.FLOAT, ["B", instances, 17, 3])},
        {"everypose": config(min_score=0.05).model_dump_json()},
    )


def save_graph(path: Path, nodes, constants, inputs, outputs, metadata=None) -> Path:
    """Write an ONNX file of nodes and constants; inputs and outputs by name, as (type, shape)."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def paint(people, width=200, height=150):
    """A black (H, W, 3) image with squares: (x, y of the middle, side, color) for each of ``people``."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side, color in people:
        half = side // 2
        image[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1] |= np.array(color, np.uint8)
    return image
