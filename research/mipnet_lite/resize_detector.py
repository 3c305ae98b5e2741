"""PicoDet-S for another square input, derived from the published files for 320 and 416 pixels.

    python -m research.mipnet_lite.resize_detector PICODET_320.onnx PICODET_416.onnx SIDE OUT.onnx

Both files hold the same weights and differ in the constants that follow from the input's side: the sides and areas of
the four grids, and the grids' centers. Each constant that differs becomes the one of the wanted side.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from everypose.core.files import written_whole

STRIDES = (8, 16, 32, 64)
PUBLISHED = (320, 416)


def constants(side: int) -> list[int]:
    """The constants of the graph that depend on the side of its input, in a fixed order."""
    sides = [-(-side // stride) for stride in STRIDES]
    areas = [cells**2 for cells in sides]
    return [*sides, *areas, *(4 * area for area in areas), sum(areas)]


def resized(first: np.ndarray, second: np.ndarray, side: int) -> np.ndarray:
    """The constant for ``side``, of which the published files hold two values.

    Raises:
        ValueError: a value is none of those that follow from the side.
    """
    if first.shape != second.shape:
        stride = float(second[1] - second[0])
        return ((np.arange(-(-side // int(stride))) + 0.5) * stride).astype(second.dtype)
    known = dict(zip(zip(*map(constants, PUBLISHED), strict=True), constants(side), strict=True))
    values = second.copy().ravel()
    for index, pair in enumerate(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)):
        if pair[0] != pair[1]:
            if pair not in known:
                raise ValueError(f"{pair} does not follow from the sides {PUBLISHED}")
            values[index] = known[pair]
    return values.reshape(second.shape)


def resize(first: Any, second: Any, side: int) -> None:
    """Change ``second``, the file for 416, into one for ``side``; ``first`` is the file for 320."""
    others = {tensor.name: numpy_helper.to_array(tensor) for tensor in first.graph.initializer}
    own = {tensor.name: tensor for tensor in second.graph.initializer}
    for node, twin in zip(second.graph.node, first.graph.node, strict=True):
        for name, other in zip(node.input, twin.input, strict=True):
            if name not in own or other not in others:
                continue
            values = numpy_helper.to_array(own[name])
            if values.shape != others[other].shape or not np.array_equal(values, others[other]):
                own[name].CopyFrom(numpy_helper.from_array(resized(others[other], values, side), name))
    for dimension in second.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = side
    for output in second.graph.output:
        axis = 1 if output.name == "boxes" else 2
        output.type.tensor_type.shape.dim[axis].dim_value = constants(side)[-1]


def main(first: str, second: str, side: str, out: str) -> None:
    published, model = onnx.load(first), onnx.load(second)
    resize(published, model, int(side))
    onnx.checker.check_model(model)
    with written_whole(Path(out)) as part:
        onnx.save(model, part)


if __name__ == "__main__":
    main(*sys.argv[1:5])
