"""Pack PicoDet-S for the wheel: the published graph with its weights in the half precision that they were published in.

The four distances of a box, each the mean of a distribution over eight places, become one matrix product of their 32
numbers: ONNX Runtime is slow at products of a matrix and a vector.

python -m research.mipnet_lite.pack_detector picodet_s_pedestrian_416.onnx src/everypose/models/weights/picodet-s.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from everypose.core.files import sha256, written_whole
from everypose.export.onnx import SMALLEST_HALVED, store_half

SIDES = 4


def pack(source: Path, out: Path) -> None:
    """Write the packed file without changing any weight.

    Raises:
        ValueError: a large tensor does not fit half precision exactly.
    """
    model = onnx.load(source)
    join_distances(model.graph)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        halved = values.dtype == np.float32 and values.size >= SMALLEST_HALVED
        if halved and not np.array_equal(values, values.astype(np.float16).astype(np.float32)):
            raise ValueError(f"{tensor.name} does not fit half precision exactly")
    store_half(model.graph)
    origin = {
        "origin": "PaddleDetection, PP-PicoDet-S pedestrian detector (LCNet), published weights",
        "license": "Apache-2.0 (the repository's; the weights have none of their own)",
        "published_file_sha256": sha256(source),
    }
    onnx.helper.set_model_props(model, origin)
    with written_whole(out) as part:
        onnx.save(model, part)


def join_distances(graph: onnx.GraphProto) -> None:
    """Replace the products (4 N, 8) x (8,), whose results are reshaped to (N, 4), by (N, 32) x (32, 4)."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    replaced: dict[str, str] = {}
    for node in graph.node:
        places = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if places is not None and places.ndim == 1:
            distributions, product = node.input[0], node.output[0]
            shape, matrix = f"{product}.shape", f"{product}.places"
            by_side = np.kron(np.eye(SIDES, dtype=np.float32), places[:, None])
            graph.initializer.append(numpy_helper.from_array(np.array([-1, SIDES * len(places)]), shape))
            graph.initializer.append(numpy_helper.from_array(by_side, matrix))
            nodes.append(onnx.helper.make_node("Reshape", [distributions, shape], [f"{product}.rows"]))
            nodes.append(onnx.helper.make_node("MatMul", [f"{product}.rows", matrix], [product]))
            replaced[product] = product
        elif node.op_type == "Reshape" and node.input[0] in replaced:
            replaced[node.output[0]] = node.input[0]
        else:
            node.input[:] = [replaced.get(name, name) for name in node.input]
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
