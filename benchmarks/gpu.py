"""Networks on one GPU in under ten minutes: eager, CUDA graphs, ONNX Runtime, compiled; bf16; one training step.

    PYTHONPATH=src python -m benchmarks.gpu --out gpu.jsonl              # on a GPU
    PYTHONPATH=src python -m benchmarks.gpu --tiny --out gpu.jsonl       # tiny networks on a CPU: checks that it runs

Every measurement is a line of the file as soon as it is made, so that an interrupted run loses one at most. Compiling
takes minutes and comes last; what the time does not suffice for is a line that says so. Weights are random. The peak is
the measured matrix product of the same precision, in the same rounds as the form.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.performance import machine
from benchmarks.performance.devices import CPU, GPU, Device
from benchmarks.performance.gpu_inference import WAYS
from benchmarks.performance.photos import photos_of
from benchmarks.performance.record import Options
from benchmarks.performance.roofline import cost_of
from benchmarks.performance.timing import Effort, Run, in_turns
from benchmarks.performance.tiny import TINY_BOIR, TINY_MIPNET, TINY_VITPOSE
from benchmarks.performance.ways import config_of, noise, random_network
from everypose.backbones.normalization import normalize
from everypose.backbones.settings import HRNetSettings
from everypose.data.images import read_image
from everypose.export.onnx import export_onnx
from everypose.inference.resize import resize
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxRuntime, onnx_can_use
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import build_graph
from everypose.models.config import ModelConfig
from everypose.models.locate import bundled

BATCHES = (1, 4, 16, 64)
COMPILED_BATCH = 16
PHOTOS = 20
PER_CASE = Effort(seconds=1.0, least=3, most=9)
COMPILING = 100.0
"""Seconds that must be left to begin to compile a network."""
EAGER, GRAPH, COMPILED, ONNX = "eager", "CUDA graph", "compiled", "ONNX Runtime CUDA, float32"
Line = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Bench:
    """Where and how long to measure.

    Attributes:
        device: of torch.
        side: of the matrices whose product is the peak.
        batches: images or crops at once.
        end: on the clock of ``time.monotonic``.
        photos: for the parity.
    """

    device: Device
    side: int
    batches: tuple[int, ...]
    end: float
    photos: list[Path]

    @property
    def left(self) -> float:
        """Seconds that remain."""
        return self.end - time.monotonic()


class Bfloat16Network(nn.Module):
    """A network with bf16 weights, channels last, whose methods take and give float32.

    Args:
        network: in float32; copied.
        way: what happens to the methods that always have the same shapes, see `WAYS`.
        images: (B, H, W, 3) uint8, of the shape of later calls.
    """

    def __init__(self, network: nn.Module, way: str, images: Tensor) -> None:
        super().__init__()
        reduced: Any = copy.deepcopy(network).to(torch.bfloat16)
        self.network = reduced.to(memory_format=torch.channels_last)
        example = self._laid_out(torch.zeros(len(images), 3, *images.shape[1:3], device=images.device))
        wrap = WAYS[way]
        if hasattr(network, "heatmaps"):
            self._heatmaps = wrap(reduced.heatmaps, example)
        else:
            self.normalization = reduced.normalization
            self._features = wrap(reduced.features, example)
            self._center_map = wrap(reduced.center_map, reduced.features(example))

    def heatmaps(self, images: Tensor) -> Tensor:
        """Heatmaps of a top-down network."""
        return self._heatmaps(self._laid_out(images))

    def features(self, images: Tensor) -> Tensor:
        """Features of a single-stage network."""
        return self._features(self._laid_out(images))

    def center_map(self, feature: Tensor) -> Tensor:
        """Centers of a single-stage network."""
        return self._center_map(feature)

    def instance_heatmaps(self, feature: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        """Heatmaps of the people of a single-stage network."""
        found: Tensor = self.network.instance_heatmaps(feature, yx, order)
        return found

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.to(dtype=torch.bfloat16, memory_format=torch.channels_last)


def main(arguments: list[str]) -> int:
    """Measure every network; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the file of JSON lines")
    parser.add_argument("--minutes", type=float, default=9.0, help="no measurement begins after this time")
    parser.add_argument("--photos", type=Path, help="folder of photos of 640 x 480 for the parity")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, on a CPU too")
    given = parser.parse_args(arguments)
    on_gpu = torch.cuda.is_available() and not given.tiny
    if not on_gpu and not given.tiny:
        print("there is no GPU: --tiny checks on a CPU that the script runs", file=sys.stderr)
        return 2
    torch.backends.cudnn.benchmark = True
    with tempfile.TemporaryDirectory() as folder, given.out.open("w", encoding="utf-8") as file:
        photos = photos_of(Options(photos=given.photos), Path(folder), PHOTOS if on_gpu else 2)
        end = time.monotonic() + 60 * given.minutes
        bench = Bench(GPU if on_gpu else CPU, 8192 if on_gpu else 64, BATCHES if on_gpu else (1, 2), end, photos)
        about = {"machine": machine.describe(), "versions": machine.versions()}
        print(json.dumps(about), file=file, flush=True)
        for line in measured(full_sizes() if on_gpu else tiny_sizes(), bench, Path(folder)):
            print(json.dumps(line), file=file, flush=True)
            print(" ".join(f"{key}={value}" for key, value in line.items()))
    return 0


def measured(models: dict[str, ModelConfig], bench: Bench, folder: Path) -> Iterator[Line]:
    """All measurements; the compiled forms last."""
    networks: dict[str, nn.Module] = {}
    for name, config in models.items():
        network = networks[name] = random_network(config).to(bench.device.name)
        yield {"network": name, "measured": "parity", **parity(network, config, bench)}
        forms = (EAGER, GRAPH) if bench.device is GPU else (EAGER,)
        for form in forms:
            for batch in bench.batches:
                yield from case(name, network, config, form, batch, bench)
        yield from in_onnx_runtime(name, network, config, bench, folder)
        yield {"network": name, "measured": "training step", **training_step(network, config, bench)}
    for name, config in models.items():
        if bench.left < COMPILING:
            yield {"network": name, "form": COMPILED, "skipped": f"{bench.left:.0f} s were left"}
        else:
            yield from case(name, networks[name], config, COMPILED, COMPILED_BATCH, bench)


def case(name: str, network: nn.Module, config: ModelConfig, form: str, batch: int, bench: Bench) -> Iterator[Line]:
    """A network in bf16 in one form, with one batch."""
    if bench.left < 0:
        yield {"network": name, "form": form, "batch": batch, "skipped": "no time was left"}
        return
    images = torch.from_numpy(noise(config, batch)).to(bench.device.name)
    try:
        with torch.inference_mode():
            begin = time.monotonic()
            run = whole_graph(Bfloat16Network(network, form, images), config, images, bench)
            run()
            prepared = time.monotonic() - begin
            bench.device.forget_peak()
            run()
            memory = bench.device.peak()
            yield {
                "network": name, "form": form, "batch": batch, **rate_of(run, config, network, batch, bench),
                "GB": round(memory / 1e9, 2), "seconds to prepare": round(prepared, 1),
            }  # fmt: skip
    except RuntimeError as error:  # out of memory, or an operator that a form cannot hold: the others go on
        yield {"network": name, "form": form, "batch": batch, "skipped": str(error).splitlines()[0]}


def whole_graph(network: nn.Module, config: ModelConfig, images: Tensor, bench: Bench) -> Run:
    """The method from uint8 to keypoints."""
    graph = build_graph(network, config).eval().to(bench.device.name)
    inputs = [images, torch.zeros(0, device=bench.device.name)]
    inputs += [torch.tensor(0.0, device=bench.device.name)] * (not config.is_top_down)

    def run() -> None:
        graph(*inputs)
        bench.device.wait()

    return run


def rate_of(run: Run, config: ModelConfig, network: nn.Module, batch: int, bench: Bench) -> Line:
    """Images a second and the share of the peak, from rounds with the matrix product."""
    a = torch.randn(bench.side, bench.side, device=bench.device.name, dtype=torch.bfloat16)

    def product() -> None:
        a @ a
        bench.device.wait()

    timings = in_turns({"form": run, "peak": product}, PER_CASE if bench.device is GPU else Effort(0, 1, 1))
    work = batch * cost_of(copy.deepcopy(network).cpu(), config) / (2 * bench.side**3)
    share = timings.ratio("peak", "form").scaled(100 * work)
    return {"images a second": round(batch / timings.of("form").median, 1), "% of the peak": round(share.median, 1)}


def parity(network: nn.Module, config: ModelConfig, bench: Bench) -> Line:
    """Distance of bf16 keypoints from float32 ones on photos, and the difference of the heatmaps."""
    images = torch.from_numpy(np.concatenate([seen(photo, config) for photo in bench.photos])).to(bench.device.name)
    with torch.inference_mode():
        reduced = Bfloat16Network(network, EAGER, images)
        pixels = normalize(images)
        exact, near = (first_maps(one, pixels, config).float() for one in (network, reduced))
        difference = ((exact - near).norm() / exact.norm()).item()
        line: Line = {"photos": len(images), "relative difference of heatmaps": round(difference, 5)}
        if config.is_top_down:
            no_flip = torch.zeros(0, device=bench.device.name)
            graphs = [build_graph(one, config).eval().to(bench.device.name) for one in (network, reduced)]
            found = [graph(images, no_flip) for graph in graphs]
            distance = (found[0][..., :2] - found[1][..., :2]).norm(dim=-1)
            line["median distance of keypoints, px"] = round(distance.median().item(), 3)
            line["% of keypoints within 1 px"] = round(100 * (distance < 1).float().mean().item(), 1)
        return line


def first_maps(network: Any, pixels: Tensor, config: ModelConfig) -> Tensor:
    """Heatmaps of a top-down network, centers of a single-stage one."""
    maps: Tensor = network.heatmaps(pixels) if config.is_top_down else network.center_map(network.features(pixels))
    return maps


def seen(photo: Path, config: ModelConfig) -> npt.NDArray[np.uint8]:
    """A photo (1, H, W, 3) at the input size of a network; all of one shape."""
    image = read_image(photo)
    if not config.is_top_down:
        return resize(image, config.on_images.size, config.on_images.step)[0][None]
    width, height = config.on_crops.crop_size
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    small: npt.NDArray[np.uint8] = image[rows][:, columns][None]
    return small


def in_onnx_runtime(name: str, network: nn.Module, config: ModelConfig, bench: Bench, folder: Path) -> Iterator[Line]:
    """The exported file, with images in host memory, as everypose runs it."""
    if bench.device is GPU and not onnx_can_use("cuda"):
        yield {"network": name, "form": ONNX, "skipped": "this ONNX Runtime has no CUDA"}
        return
    path = folder / "network.onnx"
    export_onnx(copy.deepcopy(network).cpu(), config, path)
    kind = OnnxCropRuntime if config.is_top_down else OnnxRuntime
    runtime = kind.open(path, device="cuda" if bench.device is GPU else "cpu")
    for batch in bench.batches:
        if bench.left < 0:
            yield {"network": name, "form": ONNX, "batch": batch, "skipped": "no time was left"}
            continue
        images = noise(config, batch)
        rates = rate_of(partial(runtime.run, images), config, network, batch, bench)
        yield {"network": name, "form": ONNX, "batch": batch, **rates}


def training_step(network: nn.Module, config: ModelConfig, bench: Bench) -> Line:
    """Forward in bf16 by autocast, the squared error of the heatmaps, gradient and AdamW, channels last."""
    learner: Any = copy.deepcopy(network).train()
    learner.to(memory_format=torch.channels_last)
    batch = 16 if bench.device is GPU else 2
    images = normalize(torch.from_numpy(noise(config, batch)).to(bench.device.name))
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-5)

    def run() -> None:
        with torch.autocast(bench.device.name, torch.bfloat16):
            maps = learner.heatmaps(images) if config.is_top_down else learner.features(images)
        maps.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        bench.device.wait()

    bench.device.forget_peak()
    timings = in_turns({"step": run}, PER_CASE if bench.device is GPU else Effort(0, 1, 1))
    seconds = timings.of("step").median
    peak = round(bench.device.peak() / 1e9, 2)
    part = "whole network" if config.is_top_down else "backbone and neck"
    return {
        "batch": batch,
        "ms": round(1000 * seconds, 1),
        "images a second": round(batch / seconds, 1),
        "GB": peak,
        "of": part,
    }


def full_sizes() -> dict[str, ModelConfig]:
    """The networks at their own input sizes."""
    lite = OnnxCropRuntime.open(bundled("mipnet-lite.onnx"), threads=1).config
    return {
        "BoIR-W32": config_of(BoIRSettings(auxiliary=False), 512),
        "MIPNet-W48": config_of(MIPNetSettings(backbone=HRNetSettings(width=48)), crop_size=(288, 384)),
        "ViTPose-B": config_of(ViTPoseSettings()),
        "mipnet-lite": lite,
    }


def tiny_sizes() -> dict[str, ModelConfig]:
    """Tiny networks, for a smoke test on a CPU."""
    return {
        "BoIR-W32": config_of(TINY_BOIR, 64),
        "MIPNet-W48": config_of(TINY_MIPNET, crop_size=(64, 64)),
        "ViTPose-B": config_of(TINY_VITPOSE, crop_size=(64, 64)),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
