"""Ten crops of a top-down model in OpenVINO in bf16: one batch, or two batches in two streams, with and without shapes.

    python -m research.openvino_streams MODEL.onnx [--rounds 5]

``MODEL.onnx`` is an export of ``everypose export`` that takes crops. Two threads; the ways take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from openvino import Core
from openvino.frontend import FrontEndManager

from everypose.inference.runtimes.onnx import OnnxCropRuntime

CROPS = 10
COMMON = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16", "ENABLE_CPU_PINNING": False}
TWO_STREAMS: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 2}


def way(path: Path, crops: np.ndarray, batch: int, *, fixed: bool = False, **properties: Any) -> Callable[[], None]:
    """A function that runs all crops in batches, each batch in a request of its own."""
    reader = FrontEndManager().load_by_framework("onnx")
    model: Any = reader.convert(reader.load(str(path)))
    if fixed:
        model.reshape({"images": [batch, *crops.shape[1:]], "mirrored": [0]})
    compiled = Core().compile_model(model, "CPU", {**COMMON, "INFERENCE_NUM_THREADS": 2, **properties})
    parts = [crops[start : start + batch] for start in range(0, len(crops), batch)]
    requests = [compiled.create_infer_request() for _ in parts]
    mirrored = np.zeros(0, np.float32)

    def run() -> None:
        for request, part in zip(requests, parts, strict=True):
            request.start_async({"images": part, "mirrored": mirrored})
        for request in requests:
            request.wait()

    return run


def main() -> None:
    """Time the ways and print medians, without the first round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    width, height = OnnxCropRuntime.open(given.model, threads=1).config.on_crops.crop_size
    crops = np.random.default_rng(0).integers(0, 256, (CROPS, height, width, 3), dtype=np.uint8)
    ways = {
        "one batch": way(given.model, crops, CROPS),
        "one batch, fixed shapes": way(given.model, crops, CROPS, fixed=True),
        "one batch, pinned threads": way(given.model, crops, CROPS, ENABLE_CPU_PINNING=True),
        "two streams": way(given.model, crops, CROPS // 2, **TWO_STREAMS),
        "two streams, fixed shapes": way(given.model, crops, CROPS // 2, fixed=True, **TWO_STREAMS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds + 1):
        for name, run in ways.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    for name, values in seconds.items():
        ratio = statistics.median(one / own for one, own in zip(seconds["one batch"][1:], values[1:], strict=True))
        print(f"{name}: {statistics.median(values[1:]):.3f} s, {ratio:.2f} times as fast as one batch")


if __name__ == "__main__":
    main()
