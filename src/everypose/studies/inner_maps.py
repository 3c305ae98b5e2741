"""Feature maps and heatmaps inside a network, of exported files and of model folders alike."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Image
from everypose.errors import MissingDependencyError, UsageError
from everypose.inference.runtimes.onnx import open_session, read_metadata, run_session
from everypose.inference.runtimes.protocols import Session
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile, resolve

# The parameters behind the maps; an exported file keeps the names of those that no batch normalization is folded into.
FEATURE_CONSUMER = "network.instance_head.down.weight"
HEATMAP_HEADS = ("network.head.weight", "network.head.final.weight")


class MapModel(Protocol):
    """A model that gives one of its inner maps.

    Attributes:
        config: the model's configuration.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> class Gray:
    ...     config = ModelConfig(name="gray", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    ...     def maps(self, image):
    ...         return image.mean(axis=2)[None, None]
    >>> model: MapModel = Gray()
    >>> model.maps(np.zeros((64, 64, 3), np.uint8)).shape
    (1, 1, 64, 64)
    """

    config: ModelConfig

    def maps(self, image: Image) -> Float32:
        """Compute the maps (N, C, h, w) of one network input (H, W, 3), uint8 RGB."""
        ...


def open_features(model: str) -> MapModel:
    """Open a single-stage model for its backbone feature, the input of the instance head: (1, C, h, w).

    Args:
        model: a name, a folder, a file or a hub id.

    Raises:
        EveryposeError: if the model cannot be read.
        UsageError: if it is a top-down model.

    >>> open_features("missing.onnx")
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: there is no model at missing.onnx
    """
    opened = _open(model)
    if opened.config.network.task != "single-stage":
        raise UsageError(f"{opened.config.name} works on crops: this study needs models that process whole images")
    return opened


def open_heatmaps(model: str) -> MapModel:
    """Open a top-down model for its heatmaps: (N, K, h, w), one set for each instance selector.

    Args:
        model: a name, a folder, a file or a hub id.

    Raises:
        EveryposeError: if the model cannot be read.
        UsageError: if it is a single-stage model.

    >>> open_heatmaps("missing.onnx")
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: there is no model at missing.onnx
    """
    opened = _open(model)
    opened.config.require_finds_people()
    if not opened.config.is_top_down:
        raise UsageError(f"{opened.config.name} finds people by itself: this study needs a top-down model")
    return opened


def _open(model: str) -> MapModel:
    file = resolve(model)
    return _OnnxMaps(file.path) if file.kind == "onnx" else _open_torch(file, model)


class _OnnxMaps:
    """A model in one ``.onnx`` file, cut off after the maps."""

    def __init__(self, path: Path) -> None:
        self.config = read_metadata(open_session(path, 1), path)
        self._path = path
        self._session, self._tensor = _open_cut(path, top_down=self.config.is_top_down)
        self._inputs = {node.name for node in self._session.get_inputs()}

    def maps(self, image: Image) -> Float32:
        """See :class:`MapModel`."""
        feed: dict[str, npt.NDArray[Any]] = {
            "images": np.ascontiguousarray(image[None]),
            "mirrored": np.zeros(0, np.float32),
            "min_score": np.asarray(0.0, np.float32),
        }
        used = {name: value for name, value in feed.items() if name in self._inputs}
        return run_session(self._session, self._path, used, [self._tensor])[0]


def _open_cut(path: Path, *, top_down: bool) -> tuple[Session, str]:
    """Open an exported file with one inner tensor as its only output; also the tensor's name."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"reading the maps inside {path.name}", "studies") from error
    model = onnx.load(path)
    name = None
    for node in model.graph.node:
        weights = set(node.input[1:2])
        if top_down and weights & set(HEATMAP_HEADS):
            name = node.output[0]
        elif not top_down and FEATURE_CONSUMER in weights:
            name = node.input[0]
    if name is None:
        raise UsageError(f"{path} was exported in a form whose inner maps cannot be found: give the model's folder")
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / path.name
        onnx.save(model, cut)
        return open_session(cut), name


def _open_torch(file: ModelFile, model: str) -> MapModel:
    try:
        from everypose.studies.networks import open_torch_maps
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"running {model}, which is not an ONNX file,", "train") from error
    return open_torch_maps(file)
