"""A model that needs no training: each 32 x 32 block of its input whose mean red is above 128 is a person there.

The mean green of the block, over 255, is the person's score and that of its keypoints. The keypoints lie around the
middle of the block, at `OFFSETS`. With the flip test, scores are halved. The literal twin is `people_of`.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from everypose.skeleton.skeleton import Skeleton

BLOCK = 32
SKELETON = Skeleton.named("coco")
OFFSETS = np.stack([np.linspace(-12, 12, 17), np.linspace(-14, 14, 17)[::-1]], axis=1).astype(np.float32)


def config(**inference):
    """A model configuration as JSON."""
    network = {"family": "boir", "backbone": {"kind": "lite"}}
    inference = {"size": 64, "min_score": 0.0} | inference
    return {"name": "stand-in", "network": network, "skeleton": SKELETON.to_dict(), "inference": inference}


def people_of(canvas):
    """Keypoints (P, 17, 3) in canvas pixels and scores (P,) that the model finds in one (H, W, 3) canvas."""
    keypoints, scores = [], []
    for y in range(0, canvas.shape[0], BLOCK):
        for x in range(0, canvas.shape[1], BLOCK):
            red, green, _ = canvas[y : y + BLOCK, x : x + BLOCK].reshape(-1, 3).mean(axis=0)
            if red > 128:
                middle = np.array([x + 15.5, y + 15.5])
                keypoints.append([[*(middle + offset), green / 255] for offset in OFFSETS])
                scores.append(green / 255)
    return np.array(keypoints).reshape(-1, 17, 3), np.array(scores)


class StandIn:
    """The same model as a runtime in Python, which counts its runs."""

    def __init__(self):
        self.batches = []

    def run(self, images, min_score=0.0):  # noqa: ARG002  # nobody has to be left out
        self.batches.append(images.shape)
        found = [people_of(image) for image in images]
        index = np.repeat(np.arange(len(images)), [len(scores) for _, scores in found])
        keypoints = np.concatenate([keypoints for keypoints, _ in found]).astype(np.float32)
        return keypoints, np.concatenate([scores for _, scores in found]).astype(np.float32), index.astype(np.int64)


def write_model(path: Path, metadata=None) -> Path:
    """Write the model as ONNX, with ``metadata`` (by default a right configuration) under the key "everypose"."""
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["means"], kernel_shape=[BLOCK, BLOCK], strides=[BLOCK, BLOCK]),
        node("Split", ["means", "ones3"], ["red4", "green4", "blue4"], axis=1),
        node("Squeeze", ["red4", "axis1"], ["red"]),
        node("Squeeze", ["green4", "axis1"], ["green"]),
        node("Greater", ["red", "threshold"], ["is_person"]),
        node("NonZero", ["is_person"], ["where"]),
        node("Transpose", ["where"], ["indices"], perm=[1, 0]),
        node("Gather", ["where", "zero"], ["image_index"], axis=0),
        node("GatherND", ["green", "indices"], ["sums"]),
        node("Size", ["mirrored"], ["flips"]),
        node("Cast", ["flips"], ["flips_float"], to=TensorProto.FLOAT),
        node("Add", ["flips_float", "one"], ["views"]),
        node("Mul", ["full", "views"], ["divisor"]),
        node("Div", ["sums", "divisor"], ["scores"]),
        node("Gather", ["indices", "xy"], ["cells"], axis=1),
        node("Cast", ["cells"], ["cells_float"], to=TensorProto.FLOAT),
        node("Mul", ["cells_float", "block"], ["corners"]),
        node("Unsqueeze", ["corners", "axis1"], ["corners3"]),
        node("Add", ["corners3", "offsets"], ["points"]),
        node("Reshape", ["scores", "as_column"], ["scores3"]),
        node("Mul", ["scores3", "ones_k"], ["keypoint_scores"]),
        node("Concat", ["points", "keypoint_scores"], ["keypoints"], axis=2),
    ]
    constants = {
        "ones3": np.array([1, 1, 1], np.int64),
        "axis1": np.array([1], np.int64),
        "threshold": np.array(128, np.float32),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.float32),
        "full": np.array(255, np.float32),
        "xy": np.array([2, 1], np.int64),
        "block": np.array(BLOCK, np.float32),
        "offsets": OFFSETS[None] + np.float32(15.5),
        "as_column": np.array([-1, 1, 1], np.int64),
        "ones_k": np.ones((1, 17, 1), np.float32),
    }
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [
            value("images", TensorProto.UINT8, ["B", "H", "W", 3]),
            value("mirrored", TensorProto.FLOAT, ["F"]),
            value("min_score", TensorProto.FLOAT, []),
        ],
        [
            value("keypoints", TensorProto.FLOAT, ["P", 17, 3]),
            value("scores", TensorProto.FLOAT, ["P"]),
            value("image_index", TensorProto.INT64, ["P"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is None:
        metadata = {"everypose": json.dumps(config())}
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def crowd(blocks, height=64, width=64, brightness=255):
    """A (H, W, 3) image with a red block for each (column, row, green) of ``blocks``."""
    image = np.zeros((height, width, 3), np.uint8)
    for column, row, green in blocks:
        place = image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        place[..., 0], place[..., 1] = brightness, green
    return image
