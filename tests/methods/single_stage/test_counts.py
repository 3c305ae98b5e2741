"""What losses are means over, counted from arrays, against the rendered targets; and what follows for losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from everypose.methods.boir.losses import losses as boir_losses
from everypose.methods.boir.network import BoIROutputs
from everypose.methods.boir.settings import BoIRLosses
from everypose.methods.cid.losses import losses as cid_losses
from everypose.methods.cid.network import CIDOutputs
from everypose.methods.cid.settings import CIDLosses
from everypose.methods.single_stage.counts import LossCounts, count
from everypose.methods.single_stage.losses import instance_slots
from everypose.methods.single_stage.samples import ImageBatch, ImageSample, collate
from everypose.methods.single_stage.targets import render_targets

SIDE, KEYPOINTS = 16, 5


def made_sample(rng: np.random.Generator, people: int) -> ImageSample:
    """People on, over and beyond the border, several at one pixel; a part of the map is ignored."""
    xy = np.round(rng.uniform(-2, SIDE + 2, (people, KEYPOINTS, 2)) * 4) / 4
    keypoints = np.concatenate([xy, rng.integers(0, 3, (people, KEYPOINTS, 1))], axis=2).astype(np.float32)
    center = rng.uniform(0, SIDE, (people, 2)).astype(np.float32)
    instance = np.flatnonzero(rng.random(people) < 0.8)
    return ImageSample(
        image=np.zeros((4 * SIDE, 4 * SIDE, 3), np.uint8),
        loss_mask=rng.random((SIDE, SIDE)) < 0.7,
        keypoints=keypoints,
        radius=rng.integers(0, 4, people),
        center=center,
        center_drawn=rng.random(people) < 0.8,
        instance_person=instance,
        instance_yx=center[instance, ::-1].astype(np.int64),
        instance_boxes=np.tile(np.float32([2, 2, 9, 9]), (len(instance), 1)),
        key="made",
    )


def made_batch(seed: int, images: int = 3) -> ImageBatch[Tensor]:
    rng = np.random.default_rng(seed)
    samples = [made_sample(rng, people) for people in rng.integers(0, 9, images)]
    return joined(samples)


def joined(samples: list[ImageSample]) -> ImageBatch[Tensor]:
    batch: ImageBatch[Tensor] = collate(samples, np.random.default_rng(0)).map(torch.from_numpy)
    return batch


@pytest.mark.parametrize("seed", range(6))
def test_counts_equal_those_of_the_rendered_targets(seed: int) -> None:
    batch = made_batch(seed)
    targets = render_targets(batch)
    boxes = [
        (y + dy, x + dx)
        for y, x in targets.instance_yx.tolist()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if 0 <= y + dy < SIDE and 0 <= x + dx < SIDE
    ]
    owners = targets.owners
    offsets = [
        (x + dx, y + dy)
        for x, y in owners.xy[owners.visible].tolist()
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if 0 <= y + dy < SIDE and 0 <= x + dx < SIDE
    ]
    assert batch.counts == LossCounts(
        batches=1,
        positives=int(((targets.multi_heatmap == 1) * targets.loss_mask).sum()),
        instance_positives=int(((targets.instance_heatmaps == 1) * targets.instance_mask).sum()),
        instances=len(targets.instance_yx),
        box_pixels=len(boxes),
        offset_pixels=len(offsets),
    )
    assert count(batch.map(np.asarray)) == batch.counts


def random_outputs(batch: ImageBatch[Tensor], images: int, seed: int = 0) -> tuple[BoIROutputs, CIDOutputs]:
    """Outputs that differ between images and are equal for equal images: rows of one seeded draw."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(images, KEYPOINTS + 1, SIDE, SIDE, generator=generator).clamp(1e-4, 0.99)
    embedding = torch.randn(images, 8, SIDE, SIDE, generator=generator)
    distances = 5 * torch.rand(images, 4, SIDE, SIDE, generator=generator)
    offsets = torch.randn(images, 2, SIDE, SIDE, generator=generator)
    of_instance = torch.rand(images, KEYPOINTS, SIDE, SIDE, generator=generator).clamp(1e-4, 0.99)
    parameters = torch.randn(images, 30, 6, generator=generator)
    rows = torch.arange(len(batch.images)) % images
    own = rows[batch.instance_image]
    slot = instance_slots(batch.instance_image, len(batch.images))
    boir = BoIROutputs(maps[rows], embedding[rows], distances[rows], of_instance[own], offsets[rows])
    return boir, CIDOutputs(maps[rows], parameters[own, slot], of_instance[own])


def all_losses(batch: ImageBatch[Tensor], images: int, seed: int = 0) -> dict[str, float]:
    boir, cid = random_outputs(batch, images, seed)
    targets = render_targets(batch)
    values = {f"boir {name}": loss for name, loss in boir_losses(boir, targets, BoIRLosses(offset=1)).items()}
    values |= {f"cid {name}": loss for name, loss in cid_losses(cid, targets, CIDLosses()).items()}
    return {name: loss.item() for name, loss in values.items()}


@pytest.mark.parametrize("seed", range(6))
def test_a_step_of_one_batch_has_the_batch_s_own_means(seed: int) -> None:
    batch = made_batch(seed)
    assert all_losses(batch, 3) == pytest.approx(all_losses(replace(batch, counts=None), 3), rel=1e-6)


def test_the_number_of_images_does_not_change_the_losses() -> None:
    rng = np.random.default_rng(0)
    samples = [made_sample(rng, people) for people in (3, 0, 5)]
    assert all_losses(joined(samples), 3) == pytest.approx(all_losses(joined([*samples, *samples]), 3), rel=1e-5)


def test_losses_are_divided_by_the_recipes_constant() -> None:
    batch = made_batch(1)
    boir, _ = random_outputs(batch, 3)
    targets = render_targets(batch)
    released, once = (boir_losses(boir, targets, BoIRLosses(offset=1, **own)) for own in ({}, {"divisor": 1}))
    for name in released:
        assert once[name].item() == pytest.approx((1 if name == "offset" else 20) * released[name].item(), rel=1e-6)


def test_batches_of_one_step_average_to_the_losses_of_all_its_samples() -> None:
    rng = np.random.default_rng(4)
    samples = [made_sample(rng, people) for people in (1, 8, 0, 3)]
    whole = joined(samples)
    halves = [joined(samples[:2]), joined(samples[2:])]
    in_step = [half.in_step(halves) for half in halves]
    boir, cid = random_outputs(whole, 4)
    parts = []
    for number, half in enumerate(in_step):
        images = slice(2 * number, 2 * number + 2)
        instances = (whole.instance_image >= images.start) & (whole.instance_image < images.stop)
        of_half = BoIROutputs(
            boir.multi_heatmap[images],
            boir.embedding[images],
            boir.box_distances[images],
            boir.instance_heatmaps[instances],
            boir.offsets[images],  # type: ignore[index]
        )
        cid_half = CIDOutputs(cid.multi_heatmap[images], cid.parameters[instances], cid.instance_heatmaps[instances])
        targets = render_targets(half)
        parts.append(
            {f"boir {name}": loss.item() for name, loss in boir_losses(of_half, targets, BoIRLosses(offset=1)).items()}
            | {f"cid {name}": loss.item() for name, loss in cid_losses(cid_half, targets, CIDLosses()).items()}
        )
    mean = {name: (parts[0][name] + parts[1][name]) / 2 for name in parts[0]}
    assert mean == pytest.approx(all_losses(whole, 4), rel=1e-5)
    assert in_step[0].counts.batches == 2
