"""What int8 needs to know of a model of crops: inputs to calibrate with, and the nodes that become int8."""

from collections.abc import Set
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from everypose.core.arrays import Float32, Image
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.errors import UsageError
from everypose.export.equalization import Feed
from everypose.inference.box_sources import WholeImage
from everypose.inference.loading import NOT_OF_PEOPLE, load
from everypose.inference.refinement import Refiner
from everypose.inference.top_down import TopDownEstimator
from everypose.models.config import ModelConfig
from everypose.models.default_names import DEFAULT_MODEL

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


def calibration_poses(config: ModelConfig, photos: list[Path]) -> list[Feed]:
    """Cut crops of photos, with the poses in them, as the inputs of an exported refinement model.

    The default model finds the poses.

    Args:
        config: the model's configuration.
        photos: the photos.

    Raises:
        UsageError: if no person is found, or the default model finds other keypoints.
        EveryposeError: if a photo cannot be read.

    >>> from everypose.inference.device_check import pictures
    >>> from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = RefinementInference(crop_size=(48, 64), pose_padding=1.25)
    >>> config = ModelConfig(
    ...     name="small", network=PoseFixSettings(), skeleton=Skeleton.named("coco"), inference=inference
    ... )
    >>> feed, *_ = calibration_poses(config, [pictures()[0]])
    >>> feed["images"].shape, feed["poses"].shape
    ((1, 64, 48, 3), (1, 17, 3))
    """
    pose = load(DEFAULT_MODEL, threads=1)
    if pose.skeleton.keypoints != config.skeleton.keypoints:
        raise UsageError(
            f"{config.name} refines the keypoints of {config.skeleton.name}: there is no bundled model that finds them "
            "in the photos that calibrate int8"
        )
    seen = _SeenInputs()
    refiner = Refiner(seen, config)
    for photo in track(photos, "finding poses"):
        image = read_image(photo)
        refiner.refine(pose(image).keypoints[:CROPS_OF_A_PHOTO], image)
    if not seen.feeds:
        raise UsageError(f"the photos that calibrate {config.name} show no people: give others")
    return seen.feeds


class _SeenInputs:
    """A refinement runtime that keeps its inputs, and leaves poses as they are."""

    def __init__(self) -> None:
        self.feeds: list[Feed] = []

    def run(self, crops: npt.NDArray[np.uint8], poses: Float32) -> Float32:
        """See :class:`everypose.inference.runtimes.protocols.RefinementRuntime`."""
        none = np.zeros(0, np.float32)
        self.feeds += [
            {"images": crop[None], "poses": pose[None], "mirrored": none}
            for crop, pose in zip(crops, poses, strict=True)
        ]
        return poses[..., :2]


def nodes_of_crops(graph: onnx.GraphProto, constants: Set[str]) -> list[str]:
    """Return the names of the nodes of a top-down or refinement model that become int8.

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
