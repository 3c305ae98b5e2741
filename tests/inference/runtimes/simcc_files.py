"""SimCC models in ONNX files, made without a training framework: linear in the pixels of a crop."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from everypose.core.geometry import Size
from inference.crop_stand_in import save_graph

CROP = Size(48, 64)


def write_simcc(
    path: Path, keypoints: int = 17, batch: int | str = "batch", crop: Size = CROP, names=("simcc_x", "simcc_y")
) -> Path:
    """Write a file with the input and outputs of RTMPose's releases."""
    rng = np.random.default_rng(keypoints)
    constants = {
        "columns": rng.normal(0, 0.05, (keypoints, 3, crop.height, 1)).astype(np.float32),
        "rows": rng.normal(0, 0.05, (keypoints, 3, 1, crop.width)).astype(np.float32),
        "to_x": rng.normal(0, 0.3, (crop.width, 2 * crop.width)).astype(np.float32),
        "to_y": rng.normal(0, 0.3, (crop.height, 2 * crop.height)).astype(np.float32),
        "x_shape": np.array([-1, keypoints, crop.width], np.int64),
        "y_shape": np.array([-1, keypoints, crop.height], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["input", "columns"], ["x_maps"]),
        helper.make_node("Conv", ["input", "rows"], ["y_maps"]),
        helper.make_node("Reshape", ["x_maps", "x_shape"], ["x_lines"]),
        helper.make_node("Reshape", ["y_maps", "y_shape"], ["y_lines"]),
        helper.make_node("MatMul", ["x_lines", "to_x"], [names[0]]),
        helper.make_node("MatMul", ["y_lines", "to_y"], [names[1]]),
    ]
    inputs = {"input": (TensorProto.FLOAT, [batch, 3, crop.height, crop.width])}
    outputs = {
        names[0]: (TensorProto.FLOAT, [batch, keypoints, 2 * crop.width]),
        names[1]: (TensorProto.FLOAT, [batch, keypoints, 2 * crop.height]),
    }
    return save_graph(path, nodes, constants, inputs, outputs)
