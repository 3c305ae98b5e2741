"""One network in several forms: the papers' in eager torch, everypose's in torch and ONNX Runtime."""

import copy
import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from benchmarks.performance.random_networks import place_people, settle, single_stage_forward
from benchmarks.performance.timing import Run
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxRuntime
from everypose.inference.runtimes.torch import TorchCropRuntime, TorchRuntime
from everypose.methods.boir.network import BoIR
from everypose.methods.method import NetworkSettings
from everypose.methods.single_stage.settings import SingleStageInference, Step
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.build import build_graph, build_network
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

EAGER, TORCH, ONNX = WAYS = "eager", "torch, channels last", "ONNX Runtime"
HEIGHTS = "network.heights"
OPENVINO, BF16 = "OpenVINO", "OpenVINO in bf16"
NO_OPENVINO = "OpenVINO was not measured: it is not installed."


def config_of(
    settings: NetworkSettings, size: int = 512, crop_size: tuple[int, int] = (192, 256), step: Step = 64
) -> ModelConfig:
    """A configuration with COCO's skeleton; images have ``size`` and ``step``, crops ``crop_size`` (width, height)."""
    top_down = settings.task != "single-stage"
    inference = TopDownInference(crop_size=crop_size) if top_down else SingleStageInference(size=size, step=step)
    return ModelConfig(name="random", network=settings, skeleton=Skeleton.named("coco").to_dict(), inference=inference)


def random_network(config: ModelConfig, people: int = 10) -> nn.Module:
    """The network with random weights; a single-stage one finds the given number of people in every image."""
    torch.manual_seed(0)
    network: Any = build_network(config.network, len(config.skeleton), initialization=Initialization.FRAMEWORK)
    if not config.is_top_down:
        settle(network, single_stage_forward(network))
        place_people(network, people)
    else:
        settle(network, network.heatmaps)
    return cast(nn.Module, network)


def noise(config: ModelConfig, count: int = 1) -> npt.NDArray[np.uint8]:
    """Random images or crops, as the network takes them."""
    size = config.on_crops.crop_size if config.is_top_down else (config.on_images.size,) * 2
    return np.random.default_rng(0).integers(0, 255, (count, size[1], size[0], 3), np.uint8)


def eager(network: nn.Module, config: ModelConfig, images: npt.NDArray[np.uint8]) -> Run:
    """The graph of a network in eager torch."""
    graph = build_graph(network, config)
    inputs = [torch.from_numpy(images), torch.zeros(0)] + [torch.tensor(0.0)] * (not config.is_top_down)

    def run() -> object:
        with torch.no_grad():
            return graph(*inputs)

    return run


def in_torch(network: nn.Module, config: ModelConfig, images: npt.NDArray[np.uint8]) -> Run:
    """The package's runtime in torch, which changes the layout of the network's weights."""
    kind = TorchCropRuntime if config.is_top_down else TorchRuntime
    runtime = kind(network, config)
    return lambda: runtime.run(images)


def in_onnx(path: Path, config: ModelConfig, images: npt.NDArray[np.uint8], threads: int) -> Run:
    """The package's runtime for an exported file, which is loaded whole."""
    kind = OnnxCropRuntime if config.is_top_down else OnnxRuntime
    runtime = kind.open(path, threads=threads)
    return lambda: runtime.run(images)


def runtimes() -> dict[str, str]:
    """The runtimes of an exported file on this CPU, by device name."""
    found = {ONNX: "cpu"}
    if find_spec("openvino"):
        from everypose.inference.runtimes.openvino import computes_in

        found |= {OPENVINO: "openvino"} | ({BF16: "openvino:bf16"} if computes_in("bf16") else {})
    return found


def all_ways(
    network: nn.Module, config: ModelConfig, images: npt.NDArray[np.uint8], threads: int, folder: Path
) -> dict[str, Run]:
    """The three forms; the caller sets torch's threads."""
    path = folder / "network.onnx"
    export_onnx(network, config, path)
    return {
        EAGER: eager(copy.deepcopy(network), config, images),
        TORCH: in_torch(copy.deepcopy(network), config, images),
        ONNX: in_onnx(path, config, images, threads),
    }


def on_threads(threads: int, run: Run) -> Run:
    """The same with a number of threads of torch and of NumPy."""

    def run_there() -> object:
        torch.set_num_threads(threads)
        set_numpy_threads(threads)
        return run()

    return run_there


def set_numpy_threads(threads: int) -> None:
    """Of the OpenBLAS that NumPy's wheels bring; another library keeps its own number."""
    libraries = Path(np.__file__).parents[1] / "numpy.libs"
    for path in libraries.glob("*openblas*"):
        ctypes.CDLL(str(path)).scipy_openblas_set_num_threads64_(threads)


def open_heights(path: Path) -> None:
    """Let the number of people of an exported `PlacedBoIR` be given at each run, as the input `HEIGHTS`."""
    model = onnx.load(path)
    given = [one for one in model.graph.initializer if one.name != HEIGHTS]
    del model.graph.initializer[:]
    model.graph.initializer.extend(given)
    model.graph.input.append(onnx.helper.make_tensor_value_info(HEIGHTS, onnx.TensorProto.FLOAT, (30, 1, 1)))
    onnx.save(model, path)


def as_literal(network: BoIR, head: type) -> BoIR:
    """A copy of BoIR with another form of the instance head."""
    other = copy.deepcopy(network)
    other.instance_head.__class__ = head
    return other
