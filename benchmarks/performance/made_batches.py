"""Synthetic batches and network outputs, to measure losses without data."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from everypose.methods.boir.network import BoIROutputs
from everypose.methods.single_stage.counts import count
from everypose.methods.single_stage.samples import ImageBatch
from everypose.methods.single_stage.targets import Targets

KEYPOINTS = 17
EMBEDDING = 128
PEOPLE = 5


def made_batch(images: int, size: int, people_each: int = PEOPLE) -> ImageBatch[Tensor]:
    """Random pixels, and in every image the given number of people at random places."""
    side, people = size // 4, images * people_each
    generator = torch.Generator().manual_seed(0)
    corner = side / 2 * torch.rand(people, 2, generator=generator)
    extent = 4 + side / 3 * torch.rand(people, 2, generator=generator)
    center = corner + extent / 2
    points = corner[:, None] + extent[:, None] * torch.rand(people, KEYPOINTS, 2, generator=generator)
    image = torch.arange(images).repeat_interleave(people_each)
    batch: ImageBatch[Tensor] = ImageBatch(
        images=torch.randint(0, 255, (images, size, size, 3), dtype=torch.uint8, generator=generator),
        loss_mask=torch.ones(images, 1, side, side, dtype=torch.bool),
        person_image=image,
        keypoints=torch.cat([points, torch.full((people, KEYPOINTS, 1), 2.0)], dim=-1),
        radius=torch.full((people,), 3),
        center=center,
        center_drawn=torch.ones(people, dtype=torch.bool),
        instance_image=image,
        instance_person=torch.arange(people),
        instance_yx=center.flip(-1).long(),
        instance_boxes=torch.cat([corner, extent], dim=-1),
        most_instances=people_each,
        keys=tuple(f"made {number}" for number in range(images)),
    )
    return replace(batch, counts=count(batch.map(np.asarray)))


def random_outputs(targets: Targets) -> BoIROutputs:
    """Synthetic outputs of a network, as leaves of the gradient."""
    images, _, height, width = targets.multi_heatmap.shape
    device = targets.multi_heatmap.device

    def leaf(values: Tensor) -> Tensor:
        return values.requires_grad_()

    return BoIROutputs(
        multi_heatmap=leaf(torch.rand_like(targets.multi_heatmap).clamp(1e-4, 0.99)),
        embedding=leaf(torch.randn(images, EMBEDDING, height, width, device=device)),
        box_distances=leaf(10 * torch.rand(images, 4, height, width, device=device)),
        instance_heatmaps=leaf(torch.rand_like(targets.instance_heatmaps).clamp(1e-4, 0.99)),
    )
