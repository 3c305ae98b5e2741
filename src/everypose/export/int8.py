"""Post-training static quantization of an exported model.

Of a single-stage model, the modules that the network declares, which are computed once for an image, become int8.
Per-instance heads and decoding stay in float32, as do layers that output positions and logits: they do not survive 256
levels and cost little. Of a top-down or refinement model, see :mod:`everypose.export.int8_crops`.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from pydantic import ValidationError

from everypose.core.files import written_whole
from everypose.core.progress import track
from everypose.core.validation import explain
from everypose.data.images import read_image
from everypose.errors import EveryposeError, UsageError
from everypose.export.equalization import Feed, equalize
from everypose.export.int8_crops import calibration_crops, calibration_poses, nodes_of_crops
from everypose.export.people_loop import read_names
from everypose.inference.fixed_input import fit_input
from everypose.inference.inputs import find_images
from everypose.inference.resize import resize
from everypose.inference.runtimes.onnx import open_session, read_metadata
from everypose.inference.runtimes.protocols import Session
from everypose.methods.single_stage.int8_scopes import Int8Scopes
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.config import INT8_KEY, ModelConfig

NORMALIZATION = ("Cast", "Sub", "Mul", "Transpose")
"""The nodes of the input normalization, in order."""
OPERATIONS = ("Conv", "Relu", "Add")
"""The operations that become int8; most concatenations have no scale that suits all their parts."""


def quantize(source: Path, photos: Sequence[str], out: Path, most: int = 64) -> int:
    """Write the int8 form of an exported model.

    The ranges of the activations are those seen on the photos; weights have a scale for each output channel.

    Args:
        source: an ONNX file of ``everypose export``, float32.
        photos: files, folders or globs of photos like those that the model will see; labels are not needed.
        out: the .onnx file to write.
        most: the most photos to calibrate with.

    Returns:
        The number of photos used for calibration.

    Raises:
        UsageError: if there is no photo, or none shows people, or the model is in int8 already.
        EveryposeError: if the file is no model, or a photo cannot be read.

    >>> from torch import nn
    >>> from everypose.drawing import encode
    >>> from everypose.export.onnx import export_onnx
    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> class Small(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 21, 1))
    ...     def heatmaps(self, images):  # of one hand
    ...         return self.layers(images)[:, None]
    >>> config = ModelConfig(
    ...     name="hand", network=HRNetPoseSettings(), skeleton=Skeleton.named("interhand2d"),
    ...     inference=TopDownInference(crop_size=(64, 64), nms=None),
    ... )
    >>> export_onnx(Small(), config, Path("hand.onnx"))
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((80, 60, 3), np.uint8), ".png"))
    >>> quantize(Path("hand.onnx"), ["a.png"], Path("hand-int8.onnx"))  # one photo
    1
    """
    session = open_session(source, 1, "cpu")
    config = read_metadata(session, source)
    files = [found.path for found in find_images(photos)]
    step = max(1, len(files) // most)
    files = files[::step][:most]
    scopes = _read_scopes(session, source) if config.network.task == "single-stage" else None
    whole = None if scopes is None else _Photos(files, config.on_images)
    feeds = whole or _Feeds(_inputs(source, config, files))
    with tempfile.TemporaryDirectory() as folder, written_whole(out) as part:
        folded, quantized = Path(folder, "folded.onnx"), Path(folder, "int8.onnx")
        # Constants are folded, so that every bias is one, as the quantizer wants it.
        quant_pre_process(os.fspath(source), os.fspath(folded), skip_symbolic_shape=True)
        model = onnx.load(folded)
        nodes = _chosen_nodes(model.graph, scopes)
        if not nodes:
            raise UsageError(f"{config.name} has no backbone in float32 that could become int8: is it in int8 already?")
        if whole is not None:
            equalize(model, whole)
            onnx.save(model, folded)
            whole.rewind()
        quantize_static(
            os.fspath(folded),
            os.fspath(quantized),
            feeds,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=[*OPERATIONS, "Concat", "MatMul", "Gemm"],
            nodes_to_quantize=nodes,
        )
        model = onnx.load(quantized)
        take_pixels(model.graph)
        _read_unrounded(model.graph, set(nodes))
        onnx.save(model, part)
    return len(files)


def take_pixels(graph: onnx.GraphProto) -> None:
    """Leave the normalization out where its result in 8 bits is the uint8 pixels themselves.

    This is so if the standard deviation is one pixel value, as of Lightweight OpenPose: converting pixels to float32
    and back takes a considerable share of a small model's time.

    >>> graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "no normalization", [], [])
    >>> take_pixels(graph)
    >>> [node.op_type for node in graph.node]  # nothing to leave out
    ['Relu']
    """
    for quantizer in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        chain = _normalization_before(quantizer, graph)
        if chain is None or not _gives_pixels_back(chain, quantizer, graph):
            continue
        cast, *_, transpose = chain
        transpose.input[0] = cast.input[0]
        for node in graph.node:
            for position, name in enumerate(node.input):
                if name == quantizer.output[0]:
                    node.input[position] = transpose.output[0]
        for node in (*chain[:-1], quantizer):
            graph.node.remove(node)
        _remove_unused(graph, transpose.output[0])


def _read_unrounded(graph: onnx.GraphProto, int8: Set[str]) -> None:
    """Let float nodes read float tensors directly, where the quantizer inserted a rounding for other readers.

    Nodes that read only the shape of a tensor get it without conversion from 8 bits.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name in int8 or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for position, name in enumerate(node.input):
            source = _before_rounding(name, made_by)
            if source is None:
                continue
            if made_by[source].name not in int8:
                node.input[position] = source
            elif node.op_type == "Shape":
                node.input[position] = made_by[name].input[0]


def _before_rounding(name: str, made_by: Mapping[str, onnx.NodeProto]) -> str | None:
    """Return the float tensor that was rounded to 8 bits to give this one, if there is one."""
    for operation in ("DequantizeLinear", "QuantizeLinear"):
        if name not in made_by or made_by[name].op_type != operation:
            return None
        name = made_by[name].input[0]
    return name if name in made_by else None


def _remove_unused(graph: onnx.GraphProto, retyped: str) -> None:
    """Forget constants that no node reads, and the type that a tensor had."""
    used = {name for node in graph.node for name in read_names(node)}
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
    for value in [one for one in graph.value_info if one.name == retyped]:
        graph.value_info.remove(value)


def _normalization_before(quantizer: onnx.NodeProto, graph: onnx.GraphProto) -> list[onnx.NodeProto] | None:
    """The four nodes of `everypose.backbones.normalization.normalize` whose result is quantized, if they are."""
    made_by = {name: node for node in graph.node for name in node.output}
    chain: list[onnx.NodeProto] = []
    name = quantizer.input[0]
    for operation in reversed(NORMALIZATION):
        if name not in made_by or made_by[name].op_type != operation:
            return None
        chain.insert(0, made_by[name])
        name = chain[0].input[0]
    return chain


def _gives_pixels_back(chain: Sequence[onnx.NodeProto], quantizer: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Whether each of the 256 values of each color is quantized to itself."""
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    _, subtract, multiply, _ = chain
    pixels = np.arange(256, dtype=np.float32)[:, None]
    values = (pixels - constants[subtract.input[1]]) * constants[multiply.input[1]]
    scale, zero = (constants[name].astype(np.float32) for name in quantizer.input[1:])
    return bool((np.rint(values / scale) + zero == pixels).all())


def _read_scopes(session: Session, path: Path) -> Int8Scopes:
    """Read the modules that become int8 from an exported model's metadata.

    Raises:
        EveryposeError: if there are none, or they are damaged.
    """
    stored = session.get_modelmeta().custom_metadata_map.get(INT8_KEY)
    if stored is None:
        raise EveryposeError(f"{path} does not name the modules that become int8: export the model again")
    try:
        return Int8Scopes.model_validate_json(stored)
    except ValidationError as error:
        reason = explain(error, Int8Scopes)
        raise EveryposeError(f"{path}: its int8 scopes are damaged, export the model again: {reason}") from error


def _chosen_nodes(graph: onnx.GraphProto, scopes: Int8Scopes | None) -> list[str]:
    """Return the names of the nodes that become int8; none of a graph that is in int8 already.

    Args:
        graph: with constants folded.
        scopes: the modules of a single-stage model; None for other models.
    """
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        return []
    constants = {one.name for one in graph.initializer}
    if scopes is None:
        return nodes_of_crops(graph, constants)
    return [node.name for node in graph.node if _becomes_int8(node, constants, scopes)]


def _becomes_int8(node: onnx.NodeProto, constants: Set[str], scopes: Int8Scopes) -> bool:
    """Return whether a node becomes int8; additions of a constant do not, because they are slow."""
    if scopes.is_concatenation(node.name):
        return True
    chosen = node.op_type in OPERATIONS and scopes.contains(node.name)
    return chosen and not (node.op_type == "Add" and constants & set(node.input))


def _inputs(source: Path, config: ModelConfig, files: list[Path]) -> list[Feed]:
    """Photos as the inputs of a top-down or refinement model, or of one that takes whole images at one size."""
    if config.is_refiner:
        return calibration_poses(config, files)
    if config.is_top_down:
        return calibration_crops(source, config, files)
    least = np.zeros((), np.float32)
    canvases = (fit_input(read_image(file), config.on_fixed_input)[0] for file in track(files, "reading photos"))
    return [{"images": canvas[None], "min_score": least} for canvas in canvases]


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Inputs that are in memory."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        """The inputs of one run, or None after the last."""
        return next(self._feeds, None)


class _Photos(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Photos one by one, as the model's graph takes them; to be gone through more than once."""

    def __init__(self, files: Sequence[Path], settings: SingleStageInference) -> None:
        self._files = files
        self._settings = settings
        self.rewind()

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Feed]:
        for file in track(self._files, "looking at photos"):
            canvas, _ = resize(read_image(file), self._settings.size, self._settings.step)
            yield {
                "images": canvas[None],
                "mirrored": np.zeros(0, np.float32),
                "min_score": np.zeros((), np.float32),
            }

    def rewind(self) -> None:
        """Restart from the first input."""
        self._feeds = iter(self)

    def get_next(self) -> Feed | None:
        """The inputs of one run, or None after the last."""
        return next(self._feeds, None)
