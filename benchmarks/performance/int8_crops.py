"""Top-down networks in int8, for measuring their time; their accuracy is not looked after."""

import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from everypose.inference.runtimes.onnx import Arrays

OPERATIONS = ["Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Relu"]


class OneBatch(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """One batch of crops."""

    def __init__(self, crops: npt.NDArray[np.uint8]) -> None:
        feed: Arrays = {"images": crops, "mirrored": np.zeros(0, np.float32)}
        self._feeds = iter([feed])

    def get_next(self) -> Arrays | None:
        """The inputs, once."""
        return next(self._feeds, None)


def quantize_crops(source: Path, crops: npt.NDArray[np.uint8], out: Path) -> None:
    """Write the int8 form of an exported top-down network, calibrated with one batch of crops (B, H, W, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder, "folded.onnx")
        quant_pre_process(os.fspath(source), os.fspath(folded), skip_symbolic_shape=True)
        quantize_static(
            os.fspath(folded),
            os.fspath(out),
            OneBatch(crops),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=OPERATIONS,
        )
