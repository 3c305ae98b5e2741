"""Section 6: loader samples and losses, each compared with the literal form."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.loader import BATCH, Cost, costs, sample_of
from benchmarks.performance.counting import saved_bytes
from benchmarks.performance.literal import bbox_mask_loss, focal_loss
from benchmarks.performance.made_batches import random_outputs
from benchmarks.performance.photos import annotated
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Run, Spread, in_turns
from benchmarks.performance.ways import on_threads
from everypose.data.scenes import SceneSet
from everypose.methods.boir.losses import bbox_loss, losses
from everypose.methods.boir.network import BoIROutputs
from everypose.methods.boir.settings import BoIRLosses
from everypose.methods.single_stage.samples import ImageBatch, ImageSample, collate, training_scenes
from everypose.methods.single_stage.targets import Targets, render_targets

PHOTOS, LOADER_ROUNDS = 60, 4
SECONDS = 130
CORES, WANTED = 16, 500.0
FAST, LITERAL = "everypose", "literal"


def measure(options: Options) -> Findings:
    """Loader and losses."""
    size = 128 if options.quick else 512
    with tempfile.TemporaryDirectory() as folder:
        scenes = annotated(options, Path(folder), PHOTOS)
        few = training_scenes(scenes)[:4]
        samples = [sample_of(scene, scenes.skeleton, size) for scene in few]
        parts = [
            loader(scenes, size, options),
            loss_step(batch_of(samples), options),
        ]
    return Findings(
        [target for part in parts for target in part.targets],
        [table for part in parts for table in part.tables],
        [note for part in parts for note in part.notes],
    )


def loader(scenes: SceneSet, size: int, options: Options) -> Findings:
    """Samples on one core, batch by batch in turns; the literal form renders all heatmaps where samples are made."""
    count = BATCH if options.quick else PHOTOS
    measured = [one for _ in range(1 if options.quick else LOADER_ROUNDS) for one in costs(scenes, size, count)]
    parts = {name: Spread.of([getattr(one, name) for one in measured]) for name in Cost._fields}
    ratio = Spread.of([one.literal / one.fast for one in measured])
    rate = 1 / parts["fast"].median
    rows = [
        (FAST, f"{parts['fast'].scaled(1000):.1f}", f"{rate:.0f}", f"{parts['everypose_bytes'].scaled(1e-6):.1f}"),
        ("of it: reading the file", f"{parts['reading'].scaled(1000):.1f}", "", ""),
        ("of it: decoding the JPEG", f"{parts['decoding'].scaled(1000):.1f}", "", ""),
        (LITERAL, f"{parts['literal'].scaled(1000):.1f}", f"{1 / parts['literal'].median:.0f}",
         f"{parts['literal_bytes'].scaled(1e-6):.1f}"),
    ]  # fmt: skip
    origin = "made-up photos" if options.train_annotations is None else f"photos of {options.train_annotations.name}"
    caption = f"Loader, input {size}, CPU time of a worker, {count} {origin}"
    share = 100 * parts["decoding"].median / parts["fast"].median
    note = (
        f"Loader: decoding the JPEG takes {share:.0f} % of a sample's time, so all other improvements together could "
        f"make it at most {100 / share:.1f} times as fast."
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
