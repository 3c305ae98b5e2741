"""Peak throughput of this CPU in float32, bfloat16 and int8, measured by matrix products."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.performance.timing import Run, Timings
from benchmarks.performance.ways import on_threads
from everypose.inference.runtimes.onnx import open_session
from everypose.inference.runtimes.protocols import Arrays

FLOAT32, BF16, INT8 = PRECISIONS = ("float32", "bf16", "int8")


def products(side: int, threads: int, folder: Path, devices: Mapping[str, str]) -> dict[str, dict[str, Run]]:
    """Products of two square matrices: precision to library to run.

    Args:
        side: of the matrices.
        threads: CPU threads.
        folder: where ONNX files are written.
        devices: runtimes by name, as :func:`benchmarks.performance.ways.runtimes` gives them.

    Returns:
        oneDNN by way of torch, NumPy, and the runtimes of ONNX files.
    """
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((side, side), np.float32) for _ in range(2))
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    rough_x, rough_y = x.bfloat16(), y.bfloat16()
    bytes_a = random.integers(0, 255, (side, side), np.uint8)
    bytes_b = random.integers(-127, 127, (side, side), np.int8)
    signed = torch.from_numpy(bytes_a.astype(np.int8)), torch.from_numpy(bytes_b)
    integers, quantized, plain = (folder / f"{name}.onnx" for name in ("integers", "quantized", "plain"))
    write_product(plain, bytes_b, "MatMul", b)
    write_product(integers, bytes_b, "MatMulInteger")
    write_product(quantized, bytes_b, "QDQ")
    found: dict[str, dict[str, Run]] = {
        FLOAT32: {"torch": lambda: x @ y, "NumPy": lambda: a @ b},
        BF16: {"torch": lambda: rough_x @ rough_y},
        INT8: {
            "torch": lambda: torch._int_mm(*signed),
            "ONNX Runtime": in_session(integers, {"a": bytes_a}, threads, "cpu"),
        },
    }
    for name, device in devices.items():
        if device.startswith("openvino"):
            rough = device.endswith("bf16")
            found[BF16 if rough else FLOAT32][name] = in_session(plain, {"a": a}, threads, device)
            if not rough:
                found[INT8][name] = in_session(quantized, {"a": bytes_a}, threads, device)
    return {
        precision: {name: on_threads(threads, run) for name, run in runs.items()} for precision, runs in found.items()
    }


def in_session(path: Path, feed: Arrays, threads: int, device: str) -> Run:
    """A run of an ONNX file."""
    session = open_session(path, threads, device)
    return lambda: session.run(["product"], feed)


def write_product(path: Path, weights: np.ndarray, kind: str, plain: np.ndarray | None = None) -> None:
    """Write a file that multiplies its input ``a`` by constant weights.

    Args:
        path: the file.
        weights: (n, n) int8.
        kind: "MatMul" in float32, "MatMulInteger", or "QDQ": float32 products of dequantized 8-bit numbers, which
            runtimes compute in int8.
        plain: (n, n) float32 weights of "MatMul".
    """
    constants: Arrays = {"b": weights if plain is None else plain}
    if kind == "QDQ":
        constants |= {
            "scale": np.array(0.01, np.float32),
            "zero": np.array(128, np.uint8),
            "b_zero": np.array(0, np.int8),
        }
        nodes = [
            helper.make_node("DequantizeLinear", ["a", "scale", "zero"], ["x"]),
            helper.make_node("DequantizeLinear", ["b", "scale", "b_zero"], ["y"]),
            helper.make_node("MatMul", ["x", "y"], ["product"]),
        ]
    else:
        nodes = [helper.make_node(kind, ["a", "b"], ["product"])]
    taken = TensorProto.FLOAT if kind == "MatMul" else TensorProto.UINT8
    given = TensorProto.INT32 if kind == "MatMulInteger" else TensorProto.FLOAT
    shape = list(weights.shape)
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("a", taken, shape)],
        [helper.make_tensor_value_info("product", given, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def fastest_of(timings: Timings, names: Sequence[str]) -> list[float]:
    """Seconds of the fastest of several candidates in each round."""
    return [min(each) for each in zip(*(timings.seconds[name] for name in names), strict=True)]
