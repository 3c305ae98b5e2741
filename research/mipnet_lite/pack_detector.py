"""Pack PicoDet-S for the wheel: the published graph with its weights in the half precision that they were published in.

python -m research.mipnet_lite.pack_detector picodet_s_pedestrian_416.onnx src/everypose/models/weights/picodet-s.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from everypose.core.files import sha256, written_whole
from everypose.export.onnx import SMALLEST_HALVED, store_half


def pack(source: Path, out: Path) -> None:
    """Write the packed file without changing any number.

    Raises:
        ValueError: a large tensor does not fit half precision exactly.
    """
    model = onnx.load(source)
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


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
