"""Section 7: BoIR-W32 at 512 on a GPU in several precisions and forms; on a CPU, a tiny network.

Needs torch, NumPy and onnx, and of everypose the source alone: PYTHONPATH=src python -m benchmarks --only gpu
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.performance.devices import BF16, CPU, FLOAT32, GPU, TF32, Device
from benchmarks.performance.gpu_inference import Case, inference
from benchmarks.performance.gpu_training import Step, training
from benchmarks.performance.record import Findings, Options
from everypose.backbones.hrnet import HRNet
from everypose.methods.boir.network import BoIR

SECONDS = 240
BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Plan:
    """What is measured on a kind of device; see :func:`inference` and :func:`training` for the fields."""

    device: Device
    make: Callable[..., BoIR]
    size: int
    cases: tuple[Case, ...]
    product: int
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def boir_w32(auxiliary: bool = False) -> BoIR:
    """The published network, of 17 keypoints."""
    return BoIR(HRNet(32), 17, auxiliary=auxiliary)


def tiny_boir(auxiliary: bool = False) -> BoIR:
    """One that a CPU runs in milliseconds."""
    backbone = HRNet(4, (1, 1, 1), blocks=1, stem_blocks=1)
    return BoIR(backbone, 17, instance=8, neck_branch=8, neck=8, head=8, embedding=128, auxiliary=auxiliary)


ON_GPU = Plan(
    device=GPU,
    make=boir_w32,
    size=512,
    # The target's precision first: a GPU may be at hand for minutes only.
    cases=(
        *(Case(precision, batch, "eager") for precision in (BF16, TF32, FLOAT32) for batch in BATCHES),
        *(Case(precision, batch, "CUDA graph") for precision in (BF16, TF32) for batch in BATCHES),
        *(Case(BF16, batch, "compiled") for batch in (1, 16)),  # compiling takes minutes
    ),
    product=8192,
    steps=(Step(TF32, 16), Step(BF16, 16)),
)
ON_CPU = Plan(
    device=CPU,
    make=tiny_boir,
    size=64,
    cases=(Case(FLOAT32, 1, "eager"), Case(FLOAT32, 4, "eager")),
    product=256,
    steps=(Step(FLOAT32, 2),),
    notes=("No GPU was at hand: these numbers, of a tiny network on a CPU, only show that the script runs.",),
)


def measure(options: Options) -> Findings:
    """Inference, then training; tiny on the CPU where there is no GPU."""
    plan = ON_GPU if torch.cuda.is_available() and not options.quick else ON_CPU
    torch.backends.cudnn.benchmark = True
    effort = options.effort(SECONDS)
    run = inference(plan.make, plan.size, plan.cases, plan.product, plan.device, effort.part(0.8))
    learn = training(plan.make, plan.size, plan.steps, plan.device, effort.part(0.2))
    return Findings(run.targets, [*run.tables, *learn.tables], [*plan.notes, *run.notes, *learn.notes])
