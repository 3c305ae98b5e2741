"""Share of the machine's peak throughput that each network reaches in float32, bfloat16 and int8."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import nn

from benchmarks.performance.ceilings import BF16, FLOAT32, INT8, PRECISIONS, fastest_of, products
from benchmarks.performance.photos import example
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.roofline import cost_of, rate, size_of
from benchmarks.performance.timing import Run, Spread, Timings, in_turns
from benchmarks.performance.tiny import TINY_BOIR, TINY_VITPOSE
from benchmarks.performance.ways import NO_OPENVINO, OPENVINO, config_of, noise, random_network, runtimes
from everypose.backbones.settings import HRNetSettings
from everypose.export.int8 import quantize
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import CPU_FLAGS, OnnxCropRuntime, OnnxRuntime
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.top_down.settings import HRNetPoseSettings
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.config import ModelConfig

SECONDS = 200
CROPS = 4
"""At once, of top-down networks; images of single-stage ones come one at a time."""
PICTURE = "pedestrians.jpg"
"""What int8 forms are calibrated with."""
GOALS = {BF16: 0.6, INT8: 0.4}
"""Shares of the ceiling of the precision."""
INSTRUCTIONS = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "bf16", "i8mm")
NOTES = [
    "The ceiling of a precision is the fastest matrix product of that precision in the same round, of any library.",
    "Forms in int8 are those of `everypose export --int8`: quantized layers are computed in 8 bits, the rest in "
    "float32 or bf16. Decoding takes time, but its operations are not counted.",
    "Weights and pixels are random.",
]


def measure(options: Options) -> Findings:
    """Every network in every precision and runtime, with the matrix products in the same rounds."""
    models = TINY if options.quick else full_sizes()
    side = 64 if options.quick else 2048
    effort = options.effort(SECONDS / len(models))
    devices = runtimes()
    rows: list[tuple[str, ...]] = []
    targets: list[Target] = []
    ceilings: list[Timings] = []
    for name, config in models.items():
        with tempfile.TemporaryDirectory() as folder:
            network = random_network(config)
            work = cost_of(network, config) * count_of(config)
            forms = forms_of(network, config, options.threads, Path(folder), devices)
            bounds = products(side, options.threads, Path(folder), devices)
        timings = in_turns({**flat(bounds), **{form: run for form, (_, run) in forms.items()}}, effort)
        ceilings.append(timings)
        shares: dict[str, dict[str, Spread]] = {kind: {} for kind in PRECISIONS}
        for form, (kind, _) in forms.items():
            ratios = share_of(timings, form, [key(kind, library) for library in bounds[kind]], work / (2 * side**3))
            shares[kind][form] = ratios
            seconds = timings.of(form)
            speed = f"{seconds.scaled(1000):.0f}", f"{work / seconds.median / 1e9:.0f}", f"{ratios.scaled(100):.0f}"
            rows.append((name, size_of(config), kind, form, *speed))
        targets += [target_of(name, kind, shares[kind]) for kind in GOALS]
    header = ("network", "input", "precision", "form", "ms", "GFLOP/s", "% of the ceiling")
    caption = f"{options.threads} threads; images with 10 people one at a time, crops {CROPS} at once"
    tables = [ceilings_table(ceilings, bounds, side), Table(header, rows, caption)]
    notes = [*NOTES, f"The CPU's instructions of reduced precision: {instructions() or 'none'}."]
    return Findings(targets, tables, [*notes, *([] if OPENVINO in devices else [NO_OPENVINO])])


def instructions() -> str:
    """The instruction sets that the CPU reports, on Linux."""
    listed = CPU_FLAGS.read_text().split() if CPU_FLAGS.exists() else []
    return ", ".join(name for name in INSTRUCTIONS if name in listed)


def forms_of(
    network: nn.Module, config: ModelConfig, threads: int, folder: Path, devices: Mapping[str, str]
) -> dict[str, tuple[str, Run]]:
    """The precision and a run of each form of a network."""
    images = noise(config, count_of(config))
    float32, int8 = folder / "float32.onnx", folder / "int8.onnx"
    export_onnx(network, config, float32)
    quantize(float32, [str(example(PICTURE))], int8)
    kind = OnnxCropRuntime if config.is_top_down else OnnxRuntime
    found: dict[str, tuple[str, Run]] = {}
    for name, device in devices.items():
        for path, precision in ((float32, BF16 if device.endswith("bf16") else FLOAT32), (int8, INT8)):
            runtime = kind.open(path, threads=threads, device=device)
            found[f"{name}, int8" if path == int8 else name] = precision, partial(runtime.run, images)
    return found


def count_of(config: ModelConfig) -> int:
    """Images or crops in one run."""
    return CROPS if config.is_top_down else 1


def flat(bounds: Mapping[str, Mapping[str, Run]]) -> dict[str, Run]:
    """The matrix products as candidates."""
    return {key(kind, library): run for kind, runs in bounds.items() for library, run in runs.items()}


def key(kind: str, library: str) -> str:
    """A candidate's name."""
    return f"matrix product, {kind}, {library}"


def share_of(timings: Timings, form: str, products_of_kind: list[str], work: float) -> Spread:
    """A form's share of the ceiling, round by round; ``work`` is that of the form over that of the product."""
    ceiling = fastest_of(timings, products_of_kind)
    return Spread.of([work * best / each for best, each in zip(ceiling, timings.seconds[form], strict=True)])


def target_of(name: str, kind: str, shares: Mapping[str, Spread]) -> Target:
    """The goal of a precision, judged on its fastest form."""
    goal = f"{name} reaches {GOALS[kind]:.0%} of the ceiling of {kind}"
    if not shares:
        return Target(goal, f"no runtime here computes in {kind}", None)
    form, share = max(shares.items(), key=lambda pair: pair[1].median)
    return Target(goal, f"{share.scaled(100):.0f} %, {form}", share.median >= GOALS[kind])


def ceilings_table(sections: list[Timings], bounds: Mapping[str, Mapping[str, Run]], side: int) -> Table:
    """GFLOP/s of each matrix product, over the rounds of all networks."""
    rows = []
    for kind in PRECISIONS:
        for library in bounds[kind]:
            seconds = Spread.of([each for timings in sections for each in timings.seconds[key(kind, library)]])
            rows.append((kind, library, rate(seconds, 2 * side**3)))
    return Table(("precision", "library", "GFLOP/s"), rows, f"Products of two matrices of {side} x {side}")


def full_sizes() -> dict[str, ModelConfig]:
    """The networks of the targets."""
    return {
        "BoIR-W32": config_of(BoIRSettings(auxiliary=False), 512),
        "HRNet-W48": config_of(HRNetPoseSettings(backbone=HRNetSettings(width=48)), crop_size=(288, 384)),
        "ViTPose-B": config_of(ViTPoseSettings()),
    }


TINY = {"BoIR-W32": config_of(TINY_BOIR, 64), "ViTPose-B": config_of(TINY_VITPOSE, crop_size=(64, 64))}
