"""A training step of BoIR on a CPU, compared with the form with all people together."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.performance.apart import apart
from benchmarks.performance.literal import people_together
from benchmarks.performance.made_batches import made_batch
from benchmarks.performance.random_networks import settle, single_stage_forward
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Spread
from benchmarks.performance.tiny import TINY_BOIR
from benchmarks.performance.training import total_of
from everypose.backbones.normalization import normalize
from everypose.methods.boir.losses import losses
from everypose.methods.boir.settings import BoIRLosses, BoIRSettings
from everypose.methods.single_stage.samples import ImageBatch
from everypose.methods.single_stage.targets import render_targets
from everypose.methods.spec import Initialization
from everypose.models.build import build_network
from everypose.training.process_setup import keep_freed_memory

FAST, TOGETHER = "everypose", "together"
PEOPLE, ROUNDS, GOAL = (2, 30), 2, 1.4
"""People in each of two images; the published recipes take crowds of up to 200 in a batch."""


def measure(options: Options) -> Findings:
    """Forward, losses and gradient of the whole network by number of people, each form in a process of its own."""
    size = 128 if options.quick else 512
    make = partial(step_form, quick=options.quick, size=size, threads=options.threads)
    people = PEOPLE[:1] if options.quick else PEOPLE
    rows, ratios = [], {}
    with apart(partial(make, TOGETHER)) as together, apart(partial(make, FAST)) as fast:
        for each in people:
            runs = {TOGETHER: partial(together, each), FAST: partial(fast, each)}
            cpu = [{name: run() for name, run in runs.items()} for _ in range(2 if options.quick else ROUNDS + 1)]
            spreads = {name: Spread.of([one[name] for one in cpu[1:]]) for name in runs}
            ratios[each] = Spread.of([one[TOGETHER] / one[FAST] for one in cpu[1:]])
            rows.append((str(2 * each), f"{spreads[TOGETHER]:.1f}", f"{spreads[FAST]:.1f}", f"{ratios[each]:.2f}"))
    caption = f"A step of BoIR-W32, forward, losses and gradient, 2 images of {size} pixels, channels last; CPU seconds"
    most = people[-1]
    target = Target(
        f"a training step at least {GOAL} x the form with all people together, {2 * most} people in 2 images",
        f"{ratios[most]:.2f}",
        ratios[most].median >= GOAL,
    )
    note = (
        "Together: all people of a batch go through one operator, everything that autograd needs is kept, oneDNN "
        "computes the gradients of convolutions, and glibc's memory settings are the default. CPU seconds are the sum "
        "over threads, which other work on the machine affects less than wall-clock time. The gradients are equal "
        "(tests/methods/single_stage/"
        "test_people_in_turn.py, tests/methods/boir/test_dilated_conv.py)."
    )
    header = ("people", TOGETHER, FAST, f"{TOGETHER} / {FAST}")
    return Findings([target], [Table(header, rows, caption)], [note])


def step_form(form: str, *, quick: bool, size: int, threads: int) -> Callable[[int], float]:
    """CPU seconds of a step with the given number of people in each image; called in the process that measures."""
    network = training_network(TINY_BOIR if quick else BoIRSettings(), form, threads)

    def run(people: int) -> float:
        batch = made_batch(2, size, people)
        start = time.process_time()
        step(network, batch, form)
        return time.process_time() - start

    return run


def training_network(settings: BoIRSettings, form: str, threads: int) -> Any:
    """A network with its training heads, in the memory format and with the settings of the process of a training."""
    torch.set_num_threads(threads)
    settings = settings.model_copy(update={"auxiliary": True})
    network: Any = build_network(settings, 17, initialization=Initialization.FRAMEWORK)
    settle(network, single_stage_forward(network))
    if form == FAST:
        keep_freed_memory()
    return network.train().to(memory_format=torch.channels_last)


def step(network: Any, batch: ImageBatch[Tensor], form: str) -> None:
    """One step without the optimizer."""
    with nullcontext() if form == FAST else people_together():
        targets = render_targets(batch)
        images = normalize(batch.images, network.normalization).contiguous(memory_format=torch.channels_last)
        outputs = network(images, targets.instance_image, targets.instance_yx)
        total_of(losses(outputs, targets, BoIRLosses())).backward()
        network.zero_grad(set_to_none=True)
