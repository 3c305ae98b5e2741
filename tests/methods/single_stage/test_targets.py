"""Rendered targets against the recorded ones and a literal twin; the focal loss against its formula."""

import math

import numpy as np
import pytest
import torch

from everypose.methods.single_stage.losses import focal_loss, instance_slots, probabilities
from everypose.methods.single_stage.samples import ImageBatch
from everypose.methods.single_stage.targets import gaussians, render_targets
from golden_vectors import load


def literal_radius(height: float, width: float, overlap: float = 0.7) -> int:
    """CornerNet's radius in its original form, which does not divide by a."""
    roots = []
    for a, b, c in (
        (1, height + width, width * height * (1 - overlap) / (1 + overlap)),
        (4, 2 * (height + width), (1 - overlap) * width * height),
        (4 * overlap, -2 * overlap * (height + width), (overlap - 1) * width * height),
    ):
        roots.append((b + math.sqrt(b * b - 4 * a * c)) / 2)
    return max(0, int(min(roots)))


def literal_gaussian(plane: np.ndarray, x: float, y: float, radius: int) -> None:
    """Draw one peak into a map, by maximum."""
    cx, cy, sigma = int(x), int(y), (2 * radius + 1) / 6
    if not (0 <= cx < plane.shape[1] and 0 <= cy < plane.shape[0]):
        return
    for row in range(max(0, cy - radius), min(plane.shape[0], cy + radius + 1)):
        for column in range(max(0, cx - radius), min(plane.shape[1], cx + radius + 1)):
            value = math.exp(-((column - cx) ** 2 + (row - cy) ** 2) / (2 * sigma**2))
            plane[row, column] = max(plane[row, column], value)


def golden_scene(i: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Keypoints, centers and radii of a recorded scene, before its targets were made."""
    vectors = load("boir_tiny")
    corners = np.clip(vectors[f"target{i}/box_corners"], 0, 15)
    heights = np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)
    widths = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    radii = [literal_radius(math.ceil(h), math.ceil(w)) for h, w in zip(heights, widths, strict=True)]
    return vectors[f"target{i}/keypoints"], vectors[f"target{i}/centers"][:, 0], radii


@pytest.mark.parametrize("i", [0, 1])
def test_multi_heatmap_equals_the_recorded_one(i: int) -> None:
    keypoints, centers, radii = golden_scene(i)
    people, nobody = len(keypoints), torch.zeros(0, dtype=torch.long)
    batch = ImageBatch(
        images=torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
        loss_mask=torch.ones(1, 1, 16, 16, dtype=torch.bool),
        person_image=torch.zeros(people, dtype=torch.long),
        keypoints=torch.from_numpy(keypoints).float(),
        radius=torch.tensor(radii),
        center=torch.from_numpy(centers[:, :2]).float(),
        center_drawn=torch.ones(people, dtype=torch.bool),
        instance_image=torch.zeros(people, dtype=torch.long),
        instance_person=torch.arange(people),
        instance_yx=nobody.reshape(0, 2),
        instance_boxes=torch.zeros(0, 4),
        most_instances=people,
        keys=("scene",),
    )
    targets = render_targets(batch)
    recorded = load("boir_tiny")[f"batch{i}/multi_heatmap"]
    assert np.abs(targets.multi_heatmap[0].numpy() - recorded).max() < 1e-6
    assert ((targets.multi_heatmap[0].numpy() == 1) == (recorded == 1)).all()
    twin = np.zeros((people, 17, 16, 16))
    for person in range(people):
        for k in range(17):
            if keypoints[person, k, 2] > 0:
                literal_gaussian(twin[person, k], *keypoints[person, k, :2], radii[person])  # type: ignore[call-arg]
    assert np.abs(targets.instance_heatmaps.numpy() - twin).max() < 1e-6
    assert (targets.instance_mask[..., 0, 0].numpy() == (keypoints[..., 2] > 0)).all()


def test_gaussians_at_borders_and_outside() -> None:
    points = torch.tensor([[[0.0, 0.0], [-0.6, 3.0], [-1.0, 3.0], [9.9, 4.0], [10.0, 4.0]]])
    maps = gaussians(points, torch.ones(1, 5, dtype=torch.bool), torch.tensor([2]), 8, 10)[0]
    # Coordinates are truncated toward zero, so that -0.6 still lies in the first column.
    assert [plane.max().item() for plane in maps] == [1, 1, 0, 1, 0]
    assert maps[1, 3, 0] == 1
    assert maps[3, 4, 9] == 1
    assert maps[0, 0, 3] == 0
    hidden = gaussians(points, torch.zeros(1, 5, dtype=torch.bool), torch.tensor([2]), 8, 10)
    assert (hidden == 0).all()


def test_focal_loss_equals_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = probabilities(torch.randn(2, 3, 4, 5, generator=generator))
    truth = torch.rand(2, 3, 4, 5, generator=generator)
    truth[0, 0, 0, 0] = truth[1, 2, 3, 4] = truth[0, 1, 1, 1] = 1
    mask = torch.ones(2, 1, 4, 5)
    mask[0, 0, 1, 1] = 0
    total = 0.0
    for n, c, y, x in np.ndindex(2, 3, 4, 5):
        p, t = predicted[n, c, y, x].item(), truth[n, c, y, x].item()
        term = math.log(p) * (1 - p) ** 2 if t == 1 else math.log(1 - p) * p**2 * (1 - t) ** 4
        total -= term * mask[n, 0, y, x].item()
    assert focal_loss(predicted, truth, mask).item() == pytest.approx(total / 2, rel=1e-5)


def test_focal_loss_without_positives_is_not_divided() -> None:
    predicted = torch.full((1, 1, 2, 2), 0.25)
    loss = focal_loss(predicted, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert loss.item() == pytest.approx(-4 * math.log(0.75) * 0.25**2, rel=1e-5)


def test_slots_count_within_each_image() -> None:
    assert instance_slots(torch.tensor([0, 0, 2, 2, 2, 3]), 5).tolist() == [0, 1, 0, 1, 2, 0]
    assert instance_slots(torch.zeros(0, dtype=torch.long), 2).tolist() == []
