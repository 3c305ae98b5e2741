"""Training steps of BoIR on synthetic batches: images a second, peak memory, synchronizations with the device."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.performance.counting import Operators
from benchmarks.performance.devices import Device, Precision, tf32
from benchmarks.performance.made_batches import PEOPLE, made_batch, random_outputs
from benchmarks.performance.random_networks import settle, single_stage_forward
from benchmarks.performance.record import Findings, Table
from benchmarks.performance.timing import Effort, Run, in_turns
from everypose.backbones.normalization import normalize
from everypose.methods.boir.losses import losses
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRLosses
from everypose.methods.single_stage.samples import ImageBatch
from everypose.methods.single_stage.targets import render_targets

EPOCH = 64_115
"""Photos of COCO's train2017 that show people."""


class Step(NamedTuple):
    """A training step with a given precision and number of images."""

    precision: Precision
    batch: int


def training(make: Callable[..., BoIR], size: int, steps: Sequence[Step], device: Device, effort: Effort) -> Findings:
    """Forward, losses, gradient and optimizer, channels last; bf16 by autocast, as the recipes do."""
    rows = []
    for step in steps:
        torch.manual_seed(0)
        network = make(auxiliary=True)
        settle(network, single_stage_forward(network))
        run = one_step(network, made_batch(step.batch, size).to(device.name), step.precision, device)
        device.forget_peak()
        timings = in_turns({"step": run}, effort.part(1 / len(steps)))
        seconds = timings.of("step")
        rate = step.batch / seconds.median
        rows.append(
            (step.precision.name, str(step.batch), f"{seconds.scaled(1000):.0f}", f"{rate:.0f}",
             f"{EPOCH / rate / 60:.0f}", f"{device.peak() / 1e9:.1f}")
        )  # fmt: skip
    header = ("precision", "images", "ms a step", "images a second", f"min for {EPOCH} images", "GB at most")
    caption = (
        f"Training, images of {size} x {size}, {PEOPLE} people in each; the epoch is extrapolated from these steps"
    )
    waits, launched = waits_of_losses(size, device)
    note = (
        f"The losses of a batch, with the rendering of the targets: {launched} operators, {waits} wait for the device."
    )
    return Findings(tables=[Table(header, rows, caption)], notes=[note])


def one_step(network: BoIR, batch: ImageBatch[Tensor], precision: Precision, device: Device) -> Run:
    """A step with AdamW."""
    network.to(device.name).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    mixed = precision.dtype is not torch.float32

    def run() -> None:
        with tf32(precision.tf32):
            targets = render_targets(batch)
            images = normalize(batch.images, network.normalization).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.name, torch.bfloat16, enabled=mixed):
                outputs = network(images, targets.instance_image, targets.instance_yx)
                total = torch.stack(list(losses(outputs, targets, BoIRLosses()).values())).sum()
            total.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            device.wait()

    return run


def waits_of_losses(size: int, device: Device) -> tuple[int, int]:
    """Count the operators of the losses and their gradient, and those that wait for the device."""
    batch = made_batch(2, size).to(device.name)
    outputs = random_outputs(render_targets(batch))
    with Operators() as seen:
        torch.stack(list(losses(outputs, render_targets(batch), BoIRLosses()).values())).sum().backward()
    return seen.waits, seen.launched
