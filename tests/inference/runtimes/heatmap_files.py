"""ViTPose as easy_ViTPose publishes it, made without a training framework: smooth heatmaps of random convolutions."""

from pathlib import Path

import cv2
import numpy as np
from onnx import TensorProto, helper

from everypose.core.geometry import Size
from inference.crop_stand_in import save_graph

CROP = Size(48, 64)
STRIDE = 4


def write_heatmaps(
    path: Path,
    keypoints: int = 17,
    batch: int | str = "batch_size",
    names=("input_0", "output_0"),
    *,
    states_sizes: bool = True,
) -> Path:
    """Write a file with the input and output of easy_ViTPose's exports; ``states_sizes`` of crops and heatmaps."""
    rng = np.random.default_rng(keypoints)
    window = cv2.getGaussianKernel(9, 2.0)
    constants = {
        "patches": rng.normal(0, 0.2, (keypoints, 3, STRIDE, STRIDE)).astype(np.float32),
        "window": np.broadcast_to(window @ window.T, (keypoints, 1, 9, 9)).astype(np.float32),
        "gain": np.float32(4),
        "level": np.float32(-3),
    }
    nodes = [
        helper.make_node("Conv", [names[0], "patches"], ["rough"], strides=[STRIDE, STRIDE]),
        helper.make_node("Conv", ["rough", "window"], ["smooth"], group=keypoints, pads=[4, 4, 4, 4]),
        helper.make_node("Mul", ["smooth", "gain"], ["louder"]),
        helper.make_node("Add", ["louder", "level"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [names[1]]),
    ]
    sizes = ([CROP.height, CROP.width], [CROP.height // STRIDE, CROP.width // STRIDE])
    crop, maps = sizes if states_sizes else (["height", "width"], ["rows", "columns"])
    inputs = {names[0]: (TensorProto.FLOAT, [batch, 3, *crop])}
    outputs = {names[1]: (TensorProto.FLOAT, [batch, keypoints, *maps])}
    return save_graph(path, nodes, constants, inputs, outputs)
