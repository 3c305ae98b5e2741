"""RTMO and DETRPose in ONNX files, made without a training framework: a person for each cell of the input."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from everypose.core.geometry import Size
from inference.crop_stand_in import save_graph

INPUT = Size(96, 64)
CELL = 16
PEOPLE = (INPUT.width // CELL) * (INPUT.height // CELL)


def write_rtmo(path: Path, keypoints: int = 17, batch: int | str = "batch", names=("dets", "keypoints")) -> Path:
    """Write a file with the input and outputs of RTMO's releases; people overlap."""
    nodes, constants = _table(5 + 3 * keypoints, scale=1.0)
    nodes += [
        *_part("sizes", 0, 2),
        *_part("offsets", 2, 4),
        *_part("score", 4, 5),
        *_part("points", 5, 5 + 3 * keypoints),
        _node("Mul", "sizes", "side", "scaled"),
        _node("Add", "scaled", "least", "half"),
        _node("Mul", "offsets", "four", "shift"),
        _node("Add", "cells", "shift", "middles"),
        _node("Sub", "middles", "half", "low"),
        _node("Add", "middles", "half", "high"),
        helper.make_node("Concat", ["low", "high", "score"], [names[0]], axis=2),
        _node("Reshape", "points", "shape", "triples"),
        _node("Mul", "triples", "spread", "spread points"),
        _node("Add", "spread points", "places", names[1]),
    ]
    places = np.concatenate([_cells(), np.zeros((PEOPLE, 1))], axis=1).reshape(1, PEOPLE, 1, 3)
    constants |= {
        "side": np.float32(12),
        "least": np.float32(40),
        "four": np.float32(4),
        "cells": _cells()[None].astype(np.float32),
        "shape": np.array([-1, PEOPLE, keypoints, 3], np.int64),
        "spread": np.array([30, 40, 1], np.float32),
        "places": places.astype(np.float32),
    }
    inputs = {"input": (TensorProto.FLOAT, [batch, 3, INPUT.height, INPUT.width])}
    outputs = {
        names[0]: (TensorProto.FLOAT, [batch, PEOPLE, 5]),
        names[1]: (TensorProto.FLOAT, [batch, PEOPLE, keypoints, 3]),
    }
    return save_graph(path, nodes, constants, inputs, outputs)


def write_detrpose(path: Path, keypoints: int = 17, batch: int | str = "N", names=None) -> Path:
    """Write a file with the inputs and outputs of DETRPose's exports: every third query is of the unused class."""
    scores, labels, points = names or ("scores", "labels", "keypoints")
    nodes, constants = _table(1 + 2 * keypoints, scale=255.0)
    nodes += [
        *_part("score", 0, 1),
        *_part("pairs", 1, 1 + 2 * keypoints),
        _node("Reshape", "score", "score shape", scores),
        _node("Reshape", "pairs", "shape", "relative"),
        _node("Cast", "orig_target_sizes", "sizes", to=TensorProto.FLOAT),
        _node("Reshape", "sizes", "size shape", "scales"),
        _node("Mul", "relative", "scales", points),
        _node("Mul", scores, "zero", "zeros"),
        _node("Add", "zeros", "classes", "label numbers"),
        _node("Cast", "label numbers", labels, to=TensorProto.INT64),
    ]
    constants |= {
        "score shape": np.array([-1, PEOPLE], np.int64),
        "shape": np.array([-1, PEOPLE, keypoints, 2], np.int64),
        "size shape": np.array([-1, 1, 1, 2], np.int64),
        "zero": np.float32(0),
        "classes": (np.arange(PEOPLE) % 3 > 0).astype(np.float32)[None],
    }
    inputs = {
        "images" if names is None else "pixels": (TensorProto.FLOAT, [batch, 3, INPUT.height, INPUT.width]),
        "orig_target_sizes": (TensorProto.INT64, [batch, 2]),
    }
    outputs = {
        scores: (TensorProto.FLOAT, [batch, PEOPLE]),
        labels: (TensorProto.INT64, [batch, PEOPLE]),
        points: (TensorProto.FLOAT, [batch, PEOPLE, keypoints, 2]),
    }
    nodes[0].input[0] = next(iter(inputs))
    return save_graph(path, nodes, constants, inputs, outputs)


def _table(columns: int, scale: float) -> tuple[list, dict[str, np.ndarray]]:
    """Nodes that make (B, N, ``columns``) numbers from 0 to 1 of the pixels of each cell."""
    rng = np.random.default_rng(columns)
    weights = rng.normal(0, scale * 4e-4, (columns, 3, CELL, CELL)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["maps"], strides=[CELL, CELL]),
        _node("Reshape", "maps", "flat", "rows"),
        helper.make_node("Transpose", ["rows"], ["logits"], perm=[0, 2, 1]),
        _node("Sigmoid", "logits", "table"),
    ]
    return nodes, {"weights": weights, "flat": np.array([-1, columns, PEOPLE], np.int64)}


def _part(name: str, start: int, end: int) -> list:
    """Nodes that take some columns of the table."""
    indices = helper.make_tensor(f"{name} columns", TensorProto.INT64, [end - start], range(start, end))
    return [
        helper.make_node("Constant", [], [f"{name} indices"], value=indices),
        helper.make_node("Gather", ["table", f"{name} indices"], [name], axis=2),
    ]


def _cells() -> np.ndarray:
    """Middles of the cells, row by row."""
    rows, columns = np.mgrid[: INPUT.height // CELL, : INPUT.width // CELL]
    return (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) * CELL


def _node(operation: str, *names: str, **attributes):
    """A node whose last name is its output."""
    return helper.make_node(operation, list(names[:-1]), [names[-1]], **attributes)
