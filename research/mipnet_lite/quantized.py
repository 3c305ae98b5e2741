"""Time and equality of mipnet-lite's heatmaps in several runtimes and precisions, relative to ONNX Runtime in float32.

    python -m research.mipnet_lite.quantized ANNOTATIONS.json IMAGES

Of the bundled network up to its heatmaps: ONNX Runtime with and without its NCHWc layout, static int8 of the pointwise
or of all convolutions, and OpenVINO in float32, bfloat16 and from the int8 file. CPU time of 8 crops on one thread.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from everypose.core.files import read_json
from everypose.data.images import read_image
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.methods.top_down.crops import CropGeometry, warp
from everypose.models.locate import bundled
from everypose.studies.inner_maps import HEATMAP_HEADS

BATCH, ROUNDS, CALIBRATION = 8, 7, 64
Run = Callable[[np.ndarray], np.ndarray]


def cut(path: Path, out: Path) -> None:
    """Write the file up to its heatmaps, without the flip test's input."""
    model = onnx.load(path)
    name = next(node.output[0] for node in model.graph.node if set(node.input[1:2]) & set(HEATMAP_HEADS))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(model, out)


def feed(crops: np.ndarray) -> dict[str, np.ndarray]:
    return {"images": crops, "mirrored": np.zeros(0, np.float32)}


class Crops(CalibrationDataReader):  # type: ignore[misc]
    """Crops (N, 256, 192, 3) one by one."""

    def __init__(self, crops: np.ndarray) -> None:
        self._crops: Iterator[np.ndarray] = iter(crops)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next crop."""
        crop = next(self._crops, None)
        return None if crop is None else feed(crop[None])


def quantize(source: Path, out: Path, crops: np.ndarray, pointwise_only: bool) -> None:
    """Static int8 of convolutions, per channel."""
    graph = onnx.load(source).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    nodes = [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and (not pointwise_only or shapes[node.input[1]][2:] == [1, 1])
    ]
    quantize_static(
        source, out, Crops(crops), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv"],
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_quantize=nodes,
    )  # fmt: skip


def by_onnx_runtime(path: Path, **settings: Any) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], **settings)
    return lambda crops: np.asarray(session.run(None, feed(crops))[0])


def by_openvino(path: Path, precision: str) -> Run:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def run(crops: np.ndarray) -> np.ndarray:
        request.infer(feed(crops))
        return np.asarray(request.get_output_tensor(0).data.copy())

    return run


def photo_crops(annotations: Path, images: Path) -> np.ndarray:
    """Crops around sure boxes of the first photos."""
    detector, geometry = find_detector("picodet-s", 0.4, threads=1), CropGeometry()
    crops: list[np.ndarray] = []
    for entry in read_json(annotations)["images"]:
        image = read_image(images / entry["file_name"])
        for center, size in zip(*geometry.regions(detector(Photo(image)).boxes[:3]), strict=True):
            crops.append(warp(image, geometry.matrix(center, size), geometry.size))
        if len(crops) >= CALIBRATION + BATCH:
            break
    return np.stack(crops)


def main(annotations: str, images: str) -> None:
    crops = photo_crops(Path(annotations), Path(images))
    with tempfile.TemporaryDirectory() as folder:
        whole, folded, pointwise, all_ = (Path(folder) / f"{name}.onnx" for name in ("cut", "folded", "pw", "all"))
        cut(bundled("mipnet-lite.onnx"), whole)
        quant_pre_process(whole, folded, skip_symbolic_shape=True)
        quantize(folded, pointwise, crops[:CALIBRATION], pointwise_only=True)
        quantize(folded, all_, crops[:CALIBRATION], pointwise_only=False)
        runs = {
            "ONNX Runtime, float32": by_onnx_runtime(whole),
            "ONNX Runtime, float32, without NCHWc": by_onnx_runtime(whole, disabled_optimizers=["NchwcTransformer"]),
            "ONNX Runtime, int8 pointwise": by_onnx_runtime(pointwise),
            "ONNX Runtime, int8": by_onnx_runtime(all_),
            "OpenVINO, float32": by_openvino(whole, "f32"),
            "OpenVINO, bfloat16": by_openvino(whole, "bf16"),
            "OpenVINO, int8 and bfloat16": by_openvino(all_, "bf16"),
        }
        batch = crops[-BATCH:]
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        maps = {name: run(batch) for name, run in runs.items()}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                begin = time.process_time()
                run(batch)
                seconds[name].append(time.process_time() - begin)
    first = next(iter(runs))
    cells = {name: each.reshape(*each.shape[:-2], -1).argmax(axis=-1) for name, each in maps.items()}
    for name in runs:
        time_of_crop = 1000 * np.median(seconds[name]) / BATCH
        ratio = np.median(seconds[name]) / np.median(seconds[first])
        same = (cells[name] == cells[first]).mean()
        print(f"{name}: {time_of_crop:.1f} ms of CPU time a crop, {ratio:.2f}, same peak {same:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
