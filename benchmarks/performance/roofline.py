"""1: how much of what the machine can compute each network gets, by counted FLOPs and measured ceilings."""

import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.performance.counting import flops, flops_on_images
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Effort, Run, Timings, in_turns
from benchmarks.performance.tiny import TINY_BOIR, TINY_VITPOSE
from benchmarks.performance.ways import ONNX, all_ways, config_of, noise, on_threads, random_network
from everypose.inference.runtimes import OnnxRuntime
from everypose.models import (
    BoIRSettings,
    CIDSettings,
    HRNetPoseSettings,
    HRNetSettings,
    MIPNetSettings,
    ModelConfig,
    ViTPoseSettings,
    bundled,
)
from everypose.networks import PoseNetwork

TITLE = "Roofline"
SECONDS = 150
PEOPLE = 10
GOAL = 0.85

PRODUCT, CONVOLUTION = "matrix product", "3x3 convolution"
FIRST = "BoIR-W32"


def measure(options: Options) -> Findings:
    """Ceilings, then every network in its three forms, with the matrix product among the contenders of each round."""
    ceilings, work = ceiling_runs(options.quick)
    counts = sorted({1, options.threads})
    runs = {f"{name}, {count}": on_threads(count, run) for count in counts for name, run in ceilings.items()}
    alone = in_turns(runs, options.effort(0.1 * SECONDS))
    rows = [
        (name, str(count), f"{work[name] / 1e9:.1f}", rates(alone, f"{name}, {count}", work[name]))
        for name in ceilings
        for count in counts
    ]
    tables = [Table(("ceiling", "threads", "GFLOP", "GFLOP/s"), rows, "Measured ceilings, float32, torch")]
    shares: list[tuple[str, ...]] = []
    reached = "not measured"
    met = None
    models = TINY if options.quick else full_sizes()
    for name, config in models.items():
        only = counts if name == FIRST else counts[-1:]
        effort = options.effort(SECONDS).part(0.35 if name == FIRST else 0.55 / len(models))
        for count in only:
            cost, timings = against_product(config, count, effort.part(1 / len(only)), ceilings[PRODUCT])
            for way in [way for way in timings.seconds if way != PRODUCT]:
                share = timings.ratio(PRODUCT, way).scaled(100 * cost / work[PRODUCT])
                seconds = timings.of(way).median
                shares.append(
                    (name, size_of(config), f"{cost / 1e9:.1f}", str(count), way, f"{1000 * seconds:.0f}",
                     f"{cost / seconds / 1e9:.0f}", f"{share:.0f}")
                )  # fmt: skip
                if (name, count, way) == (FIRST, options.threads, ONNX):
                    reached, met = f"{share:.0f} %", share.median >= 100 * GOAL
    header = ("network", "input", "GFLOP", "threads", "form", "ms", "GFLOP/s", "% of the matrix product")
    tables.append(Table(header, shares, f"One image or crop at a time; {PEOPLE} people in an image"))
    goal = f"at least {100 * GOAL:.0f} % of the matrix product's rate for BoIR-W32 at 512 through ONNX Runtime"
    notes = [
        "FLOPs are counted, not estimated: convolutions and matrix products as they are called, an addition and a "
        "multiplication as two. Normalisation, activation, pooling and decoding take time and count for nothing.",
        "A share can pass 100 % where a library's convolution needs fewer multiplications than are counted.",
        "Weights and pixels are random; batch normalisation has the statistics of noise, so that no number vanishes.",
    ]
    return Findings([Target(goal, reached, met)], tables, notes)


def ceiling_runs(quick: bool) -> tuple[dict[str, Run], dict[str, int]]:
    """The two ceilings, and the FLOPs of each: large enough to be bound by arithmetic."""
    side, channels, pixels = (64, 8, 16) if quick else (2048, 256, 64)
    a, b = torch.randn(side, side), torch.randn(side, side)
    image = torch.randn(1, channels, pixels, pixels).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
    runs: dict[str, Run] = {
        PRODUCT: lambda: a @ b,
        CONVOLUTION: lambda: F.conv2d(image, weight, padding=1),
    }
    return runs, {name: flops(run) for name, run in runs.items()}


def against_product(config: ModelConfig, threads: int, effort: Effort, product: Run) -> tuple[int, Timings]:
    """FLOPs of a network on one image or crop, and the times of its forms and of the matrix product."""
    network = random_network(config, PEOPLE)
    images = noise(config)
    with tempfile.TemporaryDirectory() as folder:
        ways = all_ways(network, config, images, threads, Path(folder))
    runs = {name: on_threads(threads, run) for name, run in {PRODUCT: product, **ways}.items()}
    return cost_of(network, config), in_turns(runs, effort)


def cost_of(network: PoseNetwork, config: ModelConfig) -> int:
    """FLOPs of one image with the given people, or of one crop."""
    if not config.is_top_down:
        size = config.on_images.size
        return flops_on_images(network, size, size).of(PEOPLE)
    width, height = config.on_crops.crop_size
    crops: Any = network
    return flops(lambda: crops.heatmaps(torch.zeros(1, 3, height, width)))


def rates(timings: Timings, name: str, work: int) -> str:
    """GFLOP/s of a run, the median and quartiles of its rounds."""
    seconds = timings.of(name)
    return f"{work / seconds.median / 1e9:.0f} ({work / seconds.high / 1e9:.0f}–{work / seconds.low / 1e9:.0f})"


def size_of(config: ModelConfig) -> str:
    """The network's input, width x height."""
    size = config.on_crops.crop_size if config.is_top_down else (config.on_images.size,) * 2
    return f"{size[0]} x {size[1]}"


def full_sizes() -> dict[str, ModelConfig]:
    """The networks that people use, at their own input sizes."""
    lite = OnnxRuntime(bundled("boir-lite.onnx"), threads=1).config
    return {
        FIRST: config_of(BoIRSettings(auxiliary=False), 512),
        "CID-W32": config_of(CIDSettings(), 512),
        "boir-lite": config_of(lite.network, lite.on_images.size),
        "HRNet-W32": config_of(HRNetPoseSettings()),
        "HRNet-W48": config_of(HRNetPoseSettings(backbone=HRNetSettings(width=48)), crop_size=(288, 384)),
        "MIPNet-W32, N = 2": config_of(MIPNetSettings()),
        "ViTPose-B": config_of(ViTPoseSettings()),
    }


TINY = {
    FIRST: config_of(TINY_BOIR, 64),
    "ViTPose-B": config_of(TINY_VITPOSE, crop_size=(64, 64)),
}
