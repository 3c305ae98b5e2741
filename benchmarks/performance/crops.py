"""Section 4: the crops of an image as one batch and one by one, for MIPNet and ViTPose."""

import copy
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import nn

from benchmarks.performance.literal import LiteralAttention, LiteralMIPNet
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Run, Timings, in_turns
from benchmarks.performance.tiny import TINY_MIPNET, TINY_VITPOSE
from benchmarks.performance.ways import config_of, eager, in_torch, noise, on_threads, random_network
from everypose.backbones.vit import Attention
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import OnnxCropRuntime
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.config import ModelConfig

SECONDS = 110
CROPS = 10
LITERAL = "literal, one by one"
FULL = {"MIPNet-W32, N = 2": config_of(MIPNetSettings()), "ViTPose-B": config_of(ViTPoseSettings())}
TINY = {
    "MIPNet-W32, N = 2": config_of(TINY_MIPNET, crop_size=(64, 64)),
    "ViTPose-B": config_of(TINY_VITPOSE, crop_size=(64, 64)),
}


def measure(options: Options) -> Findings:
    """Ten crops through each network in every form."""
    rows, targets = [], []
    models = TINY if options.quick else FULL
    for name, config in models.items():
        with tempfile.TemporaryDirectory() as folder:
            runs = runs_of(config, options.threads, Path(folder))
        timings = in_turns(runs, options.effort(SECONDS / len(models)))
        rows += [row(name, form, timings) for form in runs]
        gain = timings.ratio("ONNX Runtime, one by one", "ONNX Runtime, one batch")
        goal = f"{name}: {CROPS} crops as one batch no slower than one by one, in ONNX Runtime"
        targets.append(Target(goal, f"{gain:.2f} x the throughput", gain.median >= 1))
    header = ("network", "form", f"{CROPS} crops, ms", "crops a second", "literal / form")
    caption = f"{CROPS} crops, {options.threads} threads"
    note = (
        "Literal is eager torch, one crop at a time: MIPNet with a full pass for each of the two people, ViTPose with "
        "attention as softmax(Q K^T) V. The package's estimator runs up to 16 crops of an image as one batch."
    )
    return Findings(targets, [Table(header, rows, caption)], [note])


def row(name: str, form: str, timings: Timings) -> tuple[str, ...]:
    """One form of a network."""
    seconds = timings.of(form)
    gain = timings.ratio(LITERAL, form)
    return name, form, f"{seconds.scaled(1000):.0f}", f"{CROPS / seconds.median:.1f}", f"{gain:.2f}"


def runs_of(config: ModelConfig, threads: int, folder: Path) -> dict[str, Run]:
    """Literal, and torch and ONNX Runtime with one crop after the other and with a batch."""
    network, path = random_network(config), folder / "network.onnx"
    export_onnx(network, config, path)
    session = OnnxCropRuntime.open(path, threads=threads)
    crops = noise(config, CROPS)
    singles = [crops[i : i + 1] for i in range(CROPS)]
    as_told = literal(network)
    in_torch_alone = one_after_the_other([in_torch(network, config, crop) for crop in singles])
    return {
        LITERAL: on_threads(threads, one_after_the_other([eager(as_told, config, crop) for crop in singles])),
        "torch, one by one": on_threads(threads, in_torch_alone),
        "torch, one batch": on_threads(threads, in_torch(network, config, crops)),
        "ONNX Runtime, one by one": one_after_the_other([partial(session.run, crop) for crop in singles]),
        "ONNX Runtime, one batch": partial(session.run, crops),
    }


def literal(network: nn.Module) -> nn.Module:
    """A copy of the network in its paper's form."""
    other: Any = copy.deepcopy(network)
    if isinstance(other, MIPNet):
        other.__class__ = LiteralMIPNet
    for module in other.modules():
        if isinstance(module, Attention):
            module.__class__ = LiteralAttention
    return cast(nn.Module, other)


def one_after_the_other(runs: Sequence[Run]) -> Run:
    """All of them as one."""
    return lambda: [run() for run in runs]
