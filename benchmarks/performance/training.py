"""Section 6: loader samples, losses and a training step, each compared with the literal form."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.loader import BATCH, Cost, costs, sample_of
from benchmarks.performance.apart import apart
from benchmarks.performance.counting import saved_bytes
from benchmarks.performance.literal import bbox_mask_loss, focal_loss, people_together
from benchmarks.performance.made_batches import made_batch, random_outputs
from benchmarks.performance.photos import annotated
from benchmarks.performance.random_networks import settle, single_stage_forward
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Run, Spread, in_turns
from benchmarks.performance.tiny import TINY_BOIR
from benchmarks.performance.ways import on_threads
from everypose.backbones.normalization import normalize
from everypose.data.scenes import SceneSet
from everypose.methods.boir.losses import bbox_loss, losses
from everypose.methods.boir.network import BoIROutputs
from everypose.methods.boir.settings import BoIRLosses, BoIRSettings
from everypose.methods.single_stage.samples import ImageBatch, ImageSample, collate, training_scenes
from everypose.methods.single_stage.targets import Targets, render_targets
from everypose.methods.spec import Initialization
from everypose.models.build import build_network
from everypose.training.process_setup import keep_freed_memory

PHOTOS = 60
SECONDS = 130
CORES, WANTED = 16, 500.0
FAST, LITERAL = "everypose", "literal"
STEP_PEOPLE, STEP_ROUNDS, STEP_GOAL = (2, 30), 2, 1.4
"""People in each of two images; the published recipes take crowds of up to 200 in a batch."""


def measure(options: Options) -> Findings:
    """Loader, losses, step."""
    size = 128 if options.quick else 512
    with tempfile.TemporaryDirectory() as folder:
        scenes = annotated(options, Path(folder), PHOTOS)
        few = training_scenes(scenes)[:4]
        samples = [sample_of(scene, scenes.skeleton, size) for scene in few]
        parts = [
            loader(scenes, size, options),
            loss_step(batch_of(samples), options),
            training_step(size, options),
        ]
    return Findings(
        [target for part in parts for target in part.targets],
        [table for part in parts for table in part.tables],
        [note for part in parts for note in part.notes],
    )


def loader(scenes: SceneSet, size: int, options: Options) -> Findings:
    """Samples on one core, batch by batch in turns; the literal form renders all heatmaps where samples are made."""
    count = BATCH if options.quick else PHOTOS
    measured = costs(scenes, size, count)
    parts = {name: Spread.of([getattr(one, name) for one in measured]) for name in Cost._fields}
    ratio = Spread.of([one.literal / one.fast for one in measured])
    rate = 1 / parts["fast"].median
    rows = [
        (FAST, f"{parts['fast'].scaled(1000):.1f}", f"{rate:.0f}", f"{parts['our_bytes'].scaled(1e-6):.1f}"),
        ("of it: reading the file", f"{parts['reading'].scaled(1000):.1f}", "", ""),
        ("of it: decoding the JPEG", f"{parts['decoding'].scaled(1000):.1f}", "", ""),
        (LITERAL, f"{parts['literal'].scaled(1000):.1f}", f"{1 / parts['literal'].median:.0f}",
         f"{parts['literal_bytes'].scaled(1e-6):.1f}"),
    ]  # fmt: skip
    origin = "made-up photos" if options.train_annotations is None else f"photos of {options.train_annotations.name}"
    caption = f"Loader, input {size}, CPU time of a worker, {count} {origin}"
    share = 100 * parts["decoding"].median / parts["fast"].median
    note = (
        f"Loader: decoding the JPEG is {share:.0f} % of a sample, so that nothing else could make it more than "
        f"{100 / share:.1f} times as fast."
    )
    return Findings(
        [
            Target("samples a second and core at least 4 x literal", f"{ratio:.2f}", ratio.median >= 4),
            Target(
                f"{WANTED:.0f} images a second from {CORES} cores",
                f"{CORES * rate:.0f}, extrapolated: {CORES} times one core's",
                CORES * rate >= WANTED,
            ),
        ],
        [Table(("form", "ms a sample", "samples a second", "MB to the training process"), rows, caption)],
        [note],
    )


def batch_of(samples: Sequence[ImageSample]) -> ImageBatch[Tensor]:
    """Samples as the device gets them."""
    batch: ImageBatch[Tensor] = collate(samples, np.random.default_rng(0)).map(torch.from_numpy)
    return batch


def loss_step(batch: ImageBatch[Tensor], options: Options) -> Findings:
    """Losses of a batch and their gradient; everypose renders the targets, the literal form is given them."""
    torch.manual_seed(0)
    targets, settings = render_targets(batch), BoIRLosses()
    outputs = random_outputs(targets)
    leaves = [value for value in outputs if isinstance(value, Tensor)]
    given = (*leaves, *(value for value in vars(targets).values() if isinstance(value, Tensor)))
    forms: dict[str, Callable[[], Tensor]] = {
        FAST: lambda: total_of(losses(outputs, render_targets(batch), settings)),
        LITERAL: lambda: literal_losses(outputs, targets, settings),
    }
    fast, literal = (form().item() for form in forms.values())
    difference = abs(fast / literal - 1)
    assert difference < 1e-3, f"the two forms of the losses differ by {difference}"
    runs = {name: on_threads(options.threads, backward(form, leaves)) for name, form in forms.items()}
    timings = in_turns(runs, options.effort(0.25 * SECONDS))
    rows = [
        (
            name,
            f"{timings.of(name).scaled(1000):.0f}",
            f"{timings.ratio(LITERAL, name):.2f}",
            f"{saved_bytes(form, given) / 1e6:.0f}",
        )
        for name, form in forms.items()
    ]
    images, instances = len(batch.images), len(batch.instance_yx)
    caption = f"BoIR's losses and their gradient, {images} images, {instances} people"
    note = (
        "Losses: everypose's time includes rendering the targets, the literal form's does not. On a GPU the literal "
        "form waits for the device for every person; on a CPU there is nothing to wait for."
    )
    return Findings(tables=[Table(("form", "ms", "literal / form", "MB kept"), rows, caption)], notes=[note])


def literal_losses(outputs: BoIROutputs, targets: Targets, settings: BoIRLosses) -> Tensor:
    """The sum of BoIR's losses, the Bbox Mask Loss person by person; the others have no other form."""
    index, boxes = targets.instance_image, targets.instance_boxes
    values = {
        "multi_heatmap": focal_loss(outputs.multi_heatmap, targets.multi_heatmap, targets.loss_mask),
        "single_heatmap": focal_loss(outputs.instance_heatmaps, targets.instance_heatmaps, targets.instance_mask),
        "bbox": bbox_loss(outputs.box_distances, boxes, index, targets.instance_yx),
        "bbox_mask": bbox_mask_loss(outputs.embedding, boxes, index),
    }
    return total_of({name: value * getattr(settings, name) for name, value in values.items()}) / settings.divisor


def total_of(values: Mapping[str, Tensor]) -> Tensor:
    """What training minimizes."""
    return torch.stack(list(values.values())).sum()


def backward(form: Callable[[], Tensor], leaves: Sequence[Tensor]) -> Run:
    """A loss and its gradient."""
    return lambda: torch.autograd.grad(form(), leaves)


def training_step(size: int, options: Options) -> Findings:
    """Forward, losses and gradient of the whole network by number of people, each form in a process of its own."""
    settings = TINY_BOIR if options.quick else BoIRSettings()
    make = partial(
        step_form, settings=settings.model_copy(update={"auxiliary": True}), size=size, threads=options.threads
    )
    people = (2,) if options.quick else STEP_PEOPLE
    rows, ratios = [], {}
    with apart(partial(make, "together")) as together, apart(partial(make, FAST)) as fast:
        for each in people:
            runs = {"together": partial(together, each), FAST: partial(fast, each)}
            cpu = [{name: run() for name, run in runs.items()} for _ in range(2 if options.quick else STEP_ROUNDS + 1)]
            spreads = {name: Spread.of([one[name] for one in cpu[1:]]) for name in runs}
            ratios[each] = Spread.of([one["together"] / one[FAST] for one in cpu[1:]])
            rows.append((str(2 * each), f"{spreads['together']:.1f}", f"{spreads[FAST]:.1f}", f"{ratios[each]:.2f}"))
    caption = f"A step of BoIR, forward, losses and gradient, 2 images of {size} pixels, channels last; CPU seconds"
    most = people[-1]
    target = Target(
        f"a training step at least {STEP_GOAL} x the form with all people together, {2 * most} people in 2 images",
        f"{ratios[most]:.2f}",
        ratios[most].median >= STEP_GOAL,
    )
    note = (
        "Together: all people of a batch in one operator, everything that autograd needs kept, convolutions' gradients "
        "by oneDNN, memory by glibc's defaults. CPU seconds are the sum over threads, which other work on the machine "
        "changes less than the time on the clock."
    )
    header = ("people", "together", FAST, f"together / {FAST}")
    return Findings([target], [Table(header, rows, caption)], [note])


def step_form(form: str, *, settings: BoIRSettings, size: int, threads: int) -> Callable[[int], float]:
    """CPU seconds of a step with the given number of people in each image; called in the process that measures."""
    torch.set_num_threads(threads)
    network: Any = build_network(settings, 17, initialization=Initialization.FRAMEWORK)
    settle(network, single_stage_forward(network))
    network.train().to(memory_format=torch.channels_last)
    if form == FAST:
        keep_freed_memory()

    def run(people: int) -> float:
        batch = made_batch(2, size, people)
        start = time.process_time()
        with nullcontext() if form == FAST else people_together():
            step(network, batch)
        return time.process_time() - start

    return run


def step(network: Any, batch: ImageBatch[Tensor]) -> None:
    """One step without the optimizer."""
    targets = render_targets(batch)
    images = normalize(batch.images, network.normalization).contiguous(memory_format=torch.channels_last)
    outputs = network(images, targets.instance_image, targets.instance_yx)
    total_of(losses(outputs, targets, BoIRLosses())).backward()
    network.zero_grad(set_to_none=True)
