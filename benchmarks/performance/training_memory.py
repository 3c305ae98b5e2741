"""The memory that many training steps with different numbers of people take."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.performance.apart import apart
from benchmarks.performance.machine import resident_memory
from benchmarks.performance.made_batches import made_batch
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.tiny import TINY_BOIR
from benchmarks.performance.training_step import FAST, TOGETHER, step, training_network

STEPS, LARGEST_CROWD, STEADY = 300, 40, 20.0
"""Steps, most people in each of their images, and megabytes that are not called growth."""


def measure(options: Options) -> Findings:
    """Memory at each tenth of a run whose batches have another number of people each, in both forms."""
    steps = 20 if options.quick else STEPS
    make = partial(memory_form, size=64 if options.quick else 128, threads=options.threads)
    held = {}
    for form in (FAST, TOGETHER):
        with apart(partial(make, form)) as run:
            held[form] = run(steps)
    rows = [(form, *(f"{value:.0f}" for value in values)) for form, values in held.items()]
    grown = held[FAST][-1] - held[FAST][1]
    target = Target(
        f"memory of a training on a CPU flat over {steps} steps",
        f"{grown:+.0f} MB from 20 % of the run to its end",
        grown < STEADY,
    )
    tenths = tuple(f"{10 * tenth} %" for tenth in range(1, 11))
    caption = (
        f"MB held after a share of {steps} steps of a small BoIR, 2 images of 128 pixels with 1 to {LARGEST_CROWD} "
        "people each, another number in each step"
    )
    note = (
        "oneDNN keeps a compiled program, with its buffers, for every shape. With all people in one batch, every "
        "number of people is a new shape; in turn, every multiple of eight."
    )
    return Findings([target], [Table(("form", *tenths), rows, caption)], [note])


def memory_form(form: str, *, size: int, threads: int) -> Callable[[int], list[float]]:
    """Megabytes held at each tenth of some steps; called in the process that measures."""
    network = training_network(TINY_BOIR, form, threads)

    def run(steps: int) -> list[float]:
        rng = np.random.default_rng(0)
        held = []
        for number in range(1, steps + 1):
            step(network, made_batch(2, size, int(rng.integers(1, LARGEST_CROWD, endpoint=True))), form)
            if number % (steps // 10) == 0:
                held.append(resident_memory())
        return held

    return run
