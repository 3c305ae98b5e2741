"""What int8 needs to know of a top-down model: crops to calibrate with, and the nodes that become int8."""

from collections.abc import Set
from pathlib import Path

import numpy as np
import onnx

from everypose.core.arrays import Image
from everypose.core.progress import track
from everypose.errors import UsageError
from everypose.export.equalization import Feed
from everypose.inference.box_sources import WholeImage
from everypose.inference.loading import NOT_OF_PEOPLE, load
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig

WEIGHTED = ("Conv", "MatMul", "Gemm")
BETWEEN = ("Relu", "Add")
CROPS_OF_A_PHOTO = 8
"""The most crops of one photo, so that a crowd does not decide alone."""


def calibration_crops(source: Path, config: ModelConfig, photos: list[Path]) -> list[Feed]:
    """Cut crops of photos as the inputs of an exported top-down model.

    The default detector finds the people; photos of animals and hands are used whole.

    Args:
        source: the exported model.
        config: its configuration.
        photos: the photos.

    Raises:
        UsageError: if no person is found.
        EveryposeError: if a photo cannot be read.

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
    >>> [feed["images"].shape for feed in calibration_crops(Path("hand.onnx"), config, [Path("a.png")])]
    [(1, 64, 64, 3)]
    """
    whole = config.skeleton.name in NOT_OF_PEOPLE
    estimator = load(source, threads=1, detector=WholeImage() if whole else None)
    assert isinstance(estimator, TopDownEstimator)
    crops: list[Image] = []
    for photo in track(photos, "cutting crops"):
        crops += estimator.crops(estimator.prepare(photo))[:CROPS_OF_A_PHOTO]
    if not crops:
        raise UsageError(f"the photos that calibrate {config.name} show no people: give others")
    return [{"images": crop[None], "mirrored": np.zeros(0, np.float32)} for crop in crops]


def nodes_of_crops(graph: onnx.GraphProto, constants: Set[str]) -> list[str]:
    """Return the names of the nodes of a top-down model that become int8.

    These are the layers with weights, except those whose output no other such layer reads: heatmaps and SimCC scores do
    not survive 256 levels. In convolutional networks, ReLUs and sums between them become int8, too; in transformers,
    sums feed layer normalization and stay in float32.

    Args:
        graph: with its nodes in the order in which they run.
        constants: names of its initializers.

    >>> nodes = [
    ...     onnx.helper.make_node("Conv", ["images", "first"], ["map"], name="stem"),
    ...     onnx.helper.make_node("Relu", ["map"], ["positive"], name="relu"),
    ...     onnx.helper.make_node("Conv", ["positive", "last"], ["heatmaps"], name="head"),
    ... ]
    >>> nodes_of_crops(onnx.helper.make_graph(nodes, "small", [], []), {"first", "last"})  # heatmaps stay in float32
    ['stem', 'relu']
    """
    weighted = {node.name for node in graph.node if _has_weights(node, constants)}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before_weights: set[str] = set()
    for node in reversed(graph.node):
        later = [reader.name for name in node.output for reader in readers.get(name, [])]
        if any(name in weighted or name in before_weights for name in later):
            before_weights.add(node.name)
    convolutional = all(node.op_type == "Conv" for node in graph.node if node.name in weighted)
    between = BETWEEN if convolutional else ()
    after_weights: set[str] = set()
    chosen = []
    for node in graph.node:
        if node.name in weighted or after_weights & set(node.input):
            after_weights.update(node.output)
            is_between = node.op_type in between and not constants & set(node.input)
            if node.name in before_weights and (node.name in weighted or is_between):
                chosen.append(node.name)
    return chosen


def _has_weights(node: onnx.NodeProto, constants: Set[str]) -> bool:
    return node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in constants
