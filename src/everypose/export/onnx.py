"""Exporting a model to one ONNX file: uint8 images in, keypoints and scores out, its configuration inside."""

import json
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from torch import nn

from everypose.core.files import written_whole
from everypose.export.people_loop import loop_over_people
from everypose.inference.runtimes.onnx import OTHERS
from everypose.methods.single_stage.graph import SearchSteps, SingleStageGraph, SingleStageNetwork
from everypose.methods.top_down.graph import SeveralPeopleNetwork
from everypose.models.build import build_graph
from everypose.models.config import INT8_KEY, METADATA_KEY, ModelConfig

OPSET = 18
OF_IMAGES = {
    "images": {0: "batch", 1: "height", 2: "width"},
    "mirrored": {0: "flip"},
    "keypoints": {0: "people"},
    "scores": {0: "people"},
    "image_index": {0: "people"},
}
OF_CROPS = {"images": {0: "batch"}, "mirrored": {0: "flip"}, "keypoints": {0: "batch"}}
OF_CROPS_OF_SEVERAL = {**OF_CROPS, OTHERS: {0: "others"}}
OF_POSES = {"images": {0: "batch"}, "poses": {0: "batch"}, "mirrored": {0: "flip"}, "keypoints": {0: "batch"}}


CANDIDATES, FOUND = "candidates", "found"
"""Tensors of a single-stage model's graph between which a loop over people is put."""
SMALLEST_HALVED = 1024
"""Tensors of fewer numbers stay in float32: they weigh nothing, and may be biases or constants of the decoding."""


def export_onnx(network: nn.Module, config: ModelConfig, path: Path, half: bool = False) -> None:
    """Write the model's graph for ONNX Runtime.

    Inputs: ``images`` (B, H, W, 3) uint8 RGB, any B; H and W any multiples of a single-stage model's step, or those of
    a top-down model's crops; ``mirrored`` float32 of length 1 for the flip test, 0 without; of a single-stage model
    ``min_score`` float32 of shape (): candidates whose center score is at or below it are not decoded. Its outputs:
    ``keypoints`` (P, K, 3), ``scores`` (P,), ``image_index`` (P,). Output of a top-down model: ``keypoints`` (B, N, K,
    3), all N people of each crop; a network of several people has the optional input ``others`` (B,) or (1,) float32,
    0 for crops of which only the primary person is computed, 1 by default. A refinement model also takes ``poses`` (B,
    K, 3) float32, x, y in crop pixels and whether given; its output is ``keypoints`` (B, K, 2). Heads that only
    training needs are left out. The people of a large image are searched some at a time
    (:func:`everypose.export.people_loop.loop_over_people`).

    Args:
        network: what to export.
        config: its configuration, which the file will hold.
        path: the .onnx file to write.
        half: whether weights are stored as float16, in half the space; everything is computed in float32 all the same.

    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> class Brightest(nn.Module):
    ...     def heatmaps(self, images):  # of one person with one keypoint
    ...         return images.mean(1)[:, None, None, ::4, ::4]
    >>> config = ModelConfig(
    ...     name="brightest", network=HRNetPoseSettings(), skeleton=Skeleton("point", ("tip",), (), (), (0.1,)),
    ...     inference=TopDownInference(crop_size=(64, 64)),
    ... )
    >>> export_onnx(Brightest(), config, Path("brightest.onnx"))
    >>> [one.name for one in onnx.load("brightest.onnx").graph.input]
    ['images', 'mirrored']
    """
    graph, metadata = build_graph(network, config), _metadata(network, config)
    dynamic, inputs = _inputs(network, config)
    outputs = [name for name in dynamic if name not in inputs]
    traced: nn.Module = graph
    steps: list[str] = []
    if isinstance(graph, SingleStageGraph):
        traced, steps = _WithSteps(graph), [CANDIDATES, FOUND]
    with written_whole(path) as part, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The tracing exporter: the newer one fixes sizes of 0 and 1, which images, people and flips all may have.
        torch.onnx.export(
            traced,
            tuple(inputs.values()),
            str(part),
            input_names=list(inputs),
            output_names=[*outputs, *steps],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(part)
        if steps:
            del model.graph.output[len(outputs) :]
            loop_over_people(model.graph, *steps, keypoints=len(config.skeleton))
        if OTHERS in inputs:
            by_default = onnx.numpy_helper.from_array(np.ones(1, np.float32), OTHERS)
            model.graph.initializer.append(by_default)  # an input with an initializer is optional
        if half:
            store_half(model.graph)
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, part)


class _WithSteps(nn.Module):
    """A single-stage graph that also returns the tensors between which its people are searched."""

    def __init__(self, graph: SingleStageGraph) -> None:
        super().__init__()
        self.network = graph.network  # so that the parameters keep their names
        self._search_steps = graph.search_steps

    def forward(self, images: torch.Tensor, mirrored: torch.Tensor, min_score: torch.Tensor) -> SearchSteps:
        """As :meth:`everypose.methods.single_stage.graph.SingleStageGraph.search_steps`."""
        return self._search_steps(images, mirrored, min_score)


def _inputs(network: nn.Module, config: ModelConfig) -> tuple[dict[str, dict[int, str]], dict[str, torch.Tensor]]:
    """Return the dynamic axes of inputs and outputs, and example inputs."""
    width, height = (192, 128)
    if config.is_top_down:
        width, height = config.on_crops.crop_size
    elif config.is_refiner:
        width, height = config.on_poses.crop_size
    images = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    images[:, height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = 200
    mirrored = torch.zeros(1)
    if config.is_top_down and isinstance(network, SeveralPeopleNetwork):
        return OF_CROPS_OF_SEVERAL, {"images": images, "mirrored": mirrored, OTHERS: torch.ones(1)}
    if config.is_top_down:
        return OF_CROPS, {"images": images, "mirrored": mirrored}
    if config.is_refiner:
        poses = torch.full((1, len(config.skeleton), 3), width / 2)
        return OF_POSES, {"images": images, "poses": poses, "mirrored": mirrored}
    return OF_IMAGES, {"images": images, "mirrored": mirrored, "min_score": torch.tensor(0.0)}


def _metadata(network: nn.Module, config: ModelConfig) -> dict[str, str]:
    """Return the configuration of the exported network, and the modules that may become int8."""
    exported = config.model_copy(update={"network": config.network.for_inference()})
    metadata = {METADATA_KEY: json.dumps(exported.model_dump(mode="json"))}
    if config.network.task == "single-stage":
        scopes = cast(SingleStageNetwork, network).int8_scopes
        scopes.require_modules(name for name, _ in network.named_modules())
        metadata[INT8_KEY] = scopes.model_dump_json()
    return metadata


def store_as_half(path: Path, out: Path) -> None:
    """Write an ONNX file of everypose with its large weights as float16; everything is computed in float32.

    >>> weights = onnx.numpy_helper.from_array(np.ones(10_000, np.float32), "weights")
    >>> graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["weights"], ["y"])], "small", [], [], [weights])
    >>> onnx.save(onnx.helper.make_model(graph), "large.onnx")
    >>> store_as_half(Path("large.onnx"), Path("small.onnx"))
    >>> Path("small.onnx").stat().st_size < 0.6 * Path("large.onnx").stat().st_size
    True
    """
    model = onnx.load(path)
    store_half(model.graph)
    with written_whole(out) as part:
        onnx.save(model, part)


def store_half(graph: onnx.GraphProto) -> None:
    """Store the large tensors of a graph as float16; casts, folded on loading, give them their names back.

    >>> weights = onnx.numpy_helper.from_array(np.ones(2000, np.float32), "weights")
    >>> graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["weights"], ["y"])], "small", [], [], [weights])
    >>> store_half(graph)
    >>> [node.op_type for node in graph.node], graph.initializer[0].name
    (['Cast', 'Relu'], 'weights.half')
    """
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
