"""Ten crops of a top-down model in OpenVINO in bf16: one batch, several, or two streams, with and without shapes.

    python -m research.openvino_streams MODEL.onnx [--rounds 5] [--profile]

``MODEL.onnx`` is an export of ``everypose export`` that takes crops. Two threads; the ways take turns. ``--profile``
prints the time of each kind of operation of one batch instead.
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


def compiled_model(path: Path, shape: tuple[int, ...] | None = None, **properties: Any) -> Any:
    """The model for two threads, for crops of any number or of a fixed shape."""
    reader = FrontEndManager().load_by_framework("onnx")
    model: Any = reader.convert(reader.load(str(path)))
    if shape is not None:
        model.reshape({"images": shape, "mirrored": [0]})
    return Core().compile_model(model, "CPU", {**COMMON, "INFERENCE_NUM_THREADS": 2, **properties})


def way(path: Path, crops: np.ndarray, batch: int, *, fixed: bool = False, **properties: Any) -> Callable[[], None]:
    """A function that runs all crops in batches, each batch in a request of its own."""
    compiled = compiled_model(path, (batch, *crops.shape[1:]) if fixed else None, **properties)
    parts = [crops[start : start + batch] for start in range(0, len(crops), batch)]
    requests = [compiled.create_infer_request() for _ in parts]
    mirrored = np.zeros(0, np.float32)

    def run() -> None:
        for request, part in zip(requests, parts, strict=True):
            request.start_async({"images": part, "mirrored": mirrored})
        for request in requests:
            request.wait()

    return run


def profile(path: Path, crops: np.ndarray) -> None:
    """Print the milliseconds of each kind of operation in the third run of one batch."""
    request = compiled_model(path, PERF_COUNT=True).create_infer_request()
    for _ in range(3):
        request.infer({"images": crops, "mirrored": np.zeros(0, np.float32)})
    spent: dict[str, float] = {}
    for node in request.get_profiling_info():
        spent[node.node_type] = spent.get(node.node_type, 0.0) + node.real_time.total_seconds() * 1000
    for kind, milliseconds in sorted(spent.items(), key=lambda item: -item[1])[:8]:
        print(f"{kind}: {milliseconds:.0f} ms, {milliseconds / sum(spent.values()):.0%}")


def main() -> None:
    """Time the ways and print medians, without the first round; or print the profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print the time of each kind of operation")
    given = parser.parse_args()
    width, height = OnnxCropRuntime.open(given.model, threads=1).config.on_crops.crop_size
    crops = np.random.default_rng(0).integers(0, 256, (CROPS, height, width, 3), dtype=np.uint8)
    if given.profile:
        profile(given.model, crops)
        return
    ways = {
        "one batch": way(given.model, crops, CROPS),
        "one batch, fixed shapes": way(given.model, crops, CROPS, fixed=True),
        "one batch, pinned threads": way(given.model, crops, CROPS, ENABLE_CPU_PINNING=True),
        "two crops at a time": way(given.model, crops, 2),
        "one crop at a time": way(given.model, crops, 1),
        "one crop at a time, two streams": way(given.model, crops, 1, **TWO_STREAMS),
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
