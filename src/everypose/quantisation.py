"""From an exported model to its int8 form: the backbone's convolutions in 8 bits, everything else as it was.

Nearly all of the work is in the backbone. Heads and decoding stay in float32: positions and small probabilities do not
survive 256 levels, and they cost little.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from everypose.data.images import read_image
from everypose.errors import UsageError
from everypose.files import written_whole
from everypose.inference.estimator import resize
from everypose.inference.runtimes import open_session, read_metadata
from everypose.inference.sources import find_images
from everypose.progress import track

PART = "/backbone/"
"""How the names of the nodes begin that become int8."""


def quantise(source: Path, photos: Sequence[str], out: Path, most: int = 64) -> int:
    """Write the int8 form of an exported single-stage model.

    The ranges of the activations are those seen on the photos; weights have a scale for each output channel.

    Args:
        source: an ONNX file of ``everypose export``, float32.
        photos: files, folders or globs of photos like those that the model will see; labels are not needed.
        out: the .onnx file to write.
        most: how many of the photos are looked at.

    Returns:
        The number of photos looked at.

    Raises:
        UsageError: there is no photo, the model is in int8 already, or it is a top-down one.
        EveryposeError: the file is no model, or a photo cannot be read.
    """
    config = read_metadata(open_session(source, 1, "cpu"), source)
    if config.is_top_down:
        raise UsageError(f"{config.name} is a top-down model: int8 is made of single-stage models only")
    graph = onnx.load(source).graph
    nodes = [node for node in graph.node if node.op_type == "Conv" and node.name.startswith(PART)]
    if any(node.op_type == "DequantizeLinear" for node in graph.node) or not nodes:
        raise UsageError(f"{source} has no backbone in float32 that could become int8: is it in int8 already?")
    size = config.on_images.size
    files = [found.path for found in find_images(photos)]
    step = max(1, len(files) // most)
    chosen = files[::step][:most]
    with tempfile.TemporaryDirectory() as folder, written_whole(out) as part:
        quantised = Path(folder, "int8.onnx")
        quantize_static(
            os.fspath(_folded(source, Path(folder, "folded.onnx"))),
            os.fspath(quantised),
            _Photos(chosen, size),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=[node.name for node in nodes],
        )
        part.write_bytes(quantised.read_bytes())
    return len(chosen)


def _folded(source: Path, path: Path) -> Path:
    """The graph with its constants folded, so that every bias is one, as the quantiser wants it."""
    quant_pre_process(os.fspath(source), os.fspath(path), skip_symbolic_shape=True)
    return path


class _Photos(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Photos one by one, as the model's graph takes them."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self._feeds = self._read(files, size)

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        """The inputs of one run, or None after the last."""
        return next(self._feeds, None)

    @staticmethod
    def _read(files: Sequence[Path], size: int) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
        for file in track(files, "looking at photos"):
            canvas, _ = resize(read_image(file), size)
            yield {"images": canvas[None], "mirrored": np.zeros(0, np.float32)}
