"""Section 1: share of the machine's peak throughput that each network reaches, by counted FLOPs."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.performance.counting import flops, flops_on_images
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Effort, Run, Spread, Timings, in_turns
from benchmarks.performance.tiny import TINY_BOIR, TINY_VITPOSE
from benchmarks.performance.ways import ONNX, WAYS, all_ways, config_of, noise, on_threads, random_network
from everypose.backbones.settings import HRNetSettings
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.settings import HRNetPoseSettings
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.config import ModelConfig
from everypose.models.locate import bundled

SECONDS = 150
PEOPLE = 10
PRODUCT = "matrix product"
FIRST = "BoIR-W32"
GOAL = 0.85
GOAL_TEXT = f"at least {100 * GOAL:.0f} % of the matrix product's rate for {FIRST} at 512 through ONNX Runtime"


@dataclass(frozen=True)
class Ceiling:
    """A computation that is bound by arithmetic alone, and its FLOPs."""

    runs: Mapping[str, Run]
    work: int


def measure(options: Options) -> Findings:
    """Ceilings, then every network in its three forms, with the matrix products among the candidates of each round."""
    counts = sorted({1, options.threads})
    product = matrix_product(64 if options.quick else 2048)
    patch = convolution(*((8, 16) if options.quick else (256, 64)))
    models = TINY if options.quick else full_sizes()
    effort = options.effort(0.85 * SECONDS / (len(models) + len(counts) - 1))
    rows: list[tuple[str, ...]] = []
    target = Target(GOAL_TEXT, "not measured", None)
    for name, config in models.items():
        network = random_network(config, PEOPLE)
        cost = cost_of(network, config)
        for count in counts if name == FIRST else counts[-1:]:
            timings = with_product(network, config, product, count, effort)
            shares = {way: timings.ratio(PRODUCT, way).scaled(100 * cost / product.work) for way in WAYS}
            for way, share in shares.items():
                seconds = timings.of(way).median
                speed = f"{1000 * seconds:.0f}", f"{cost / seconds / 1e9:.0f}", f"{share:.0f}"
                rows.append((name, size_of(config), f"{cost / 1e9:.1f}", str(count), way, *speed))
            if (name, count) == (FIRST, options.threads):
                target = Target(GOAL_TEXT, f"{shares[ONNX]:.0f} %", shares[ONNX].median >= 100 * GOAL)
    header = ("network", "input", "GFLOP", "threads", "form", "ms", "GFLOP/s", "% of the matrix product")
    caption = f"One image or crop at a time; {PEOPLE} people in an image"
    notes = [
        "FLOPs are counted, not estimated: convolutions and matrix products as they are called, an addition and a "
        "multiplication as two. Normalization, activation, pooling and decoding take time but are not counted.",
        "The matrix product is the faster of torch's and NumPy's in the same round. A share can pass 100 % where a "
        "library's convolution needs fewer multiplications than are counted.",
        "Weights and pixels are random; the statistics of batch normalization are those of noise, so that activations "
        "do not vanish.",
    ]
    tables = [ceilings_table((product, patch), counts, options.effort(0.1 * SECONDS)), Table(header, rows, caption)]
    return Findings([target], tables, notes)


def matrix_product(side: int) -> Ceiling:
    """Of torch and of NumPy."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    x, y = a.numpy(), b.numpy()
    return Ceiling({f"{PRODUCT}, torch": lambda: a @ b, f"{PRODUCT}, NumPy": lambda: x @ y}, 2 * side**3)


def convolution(channels: int, side: int) -> Ceiling:
    """3x3, channels last."""
    image = torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
    runs = {"3x3 convolution, torch": lambda: F.conv2d(image, weight, padding=1)}
    return Ceiling(runs, 2 * 9 * channels**2 * side**2)


def ceilings_table(ceilings: Sequence[Ceiling], counts: Sequence[int], effort: Effort) -> Table:
    """GFLOP/s of each ceiling with each number of threads."""
    runs = {name: (run, ceiling.work) for ceiling in ceilings for name, run in ceiling.runs.items()}
    timings = in_turns(
        {f"{name} {count}": on_threads(count, run) for count in counts for name, (run, _) in runs.items()}, effort
    )
    rows = [
        (name, *(rate(timings.of(f"{name} {count}"), work) for count in counts)) for name, (_, work) in runs.items()
    ]
    header = ("float32", *(f"GFLOP/s, threads: {count}" for count in counts))
    return Table(header, rows, f"Measured ceilings, {timings.rounds} rounds")


def with_product(network: nn.Module, config: ModelConfig, product: Ceiling, threads: int, effort: Effort) -> Timings:
    """Times of a network's forms; under `PRODUCT` those of the faster matrix product of each round."""
    with tempfile.TemporaryDirectory() as folder:
        ways = all_ways(network, config, noise(config), threads, Path(folder))
    runs = {name: on_threads(threads, run) for name, run in {**product.runs, **ways}.items()}
    timings = in_turns(runs, effort)
    fastest = [min(each) for each in zip(*(timings.seconds[name] for name in product.runs), strict=True)]
    return Timings({PRODUCT: fastest, **{way: timings.seconds[way] for way in ways}})


def cost_of(network: nn.Module, config: ModelConfig) -> int:
    """FLOPs of one image with the given people, or of one crop."""
    if not config.is_top_down:
        size = config.on_images.size
        return flops_on_images(network, size, size).of(PEOPLE)
    width, height = config.on_crops.crop_size
    crops: Any = network
    return flops(lambda: crops.heatmaps(torch.zeros(1, 3, height, width)))


def rate(seconds: Spread, work: int) -> str:
    """GFLOP/s: the median and its quartiles."""
    return f"{work / seconds.median / 1e9:.0f} ({work / seconds.high / 1e9:.0f}–{work / seconds.low / 1e9:.0f})"


def size_of(config: ModelConfig) -> str:
    """The network's input, width x height."""
    size = config.on_crops.crop_size if config.is_top_down else (config.on_images.size,) * 2
    return f"{size[0]} x {size[1]}"


def full_sizes() -> dict[str, ModelConfig]:
    """The networks that people use, at their own input sizes."""
    lite = OnnxRuntime.open(bundled("boir-lite.onnx"), threads=1).config
    return {
        FIRST: config_of(BoIRSettings(auxiliary=False), 512),
        "CID-W32": config_of(CIDSettings(), 512),
        "boir-lite": config_of(lite.network, lite.on_images.size, step=lite.on_images.step),
        "HRNet-W32": config_of(HRNetPoseSettings()),
        "HRNet-W48": config_of(HRNetPoseSettings(backbone=HRNetSettings(width=48)), crop_size=(288, 384)),
        "MIPNet-W32, N = 2": config_of(MIPNetSettings()),
        "ViTPose-B": config_of(ViTPoseSettings()),
    }


TINY = {
    FIRST: config_of(TINY_BOIR, 64),
    "ViTPose-B": config_of(TINY_VITPOSE, crop_size=(64, 64)),
}
