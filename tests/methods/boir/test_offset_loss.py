"""The offset loss against a literal twin and its properties; the keypoints that it looks at."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from everypose.errors import UsageError
from everypose.methods.boir.losses import losses
from everypose.methods.boir.offset_loss import offset_loss
from everypose.methods.boir.settings import BoIRLosses
from everypose.methods.single_stage.samples import ImageBatch
from everypose.methods.single_stage.targets import Owners, render_targets
from everypose.training.recipe_files import load_recipe
from golden_vectors import NOBODY, batch, tiny_boir

HEIGHT, WIDTH = 12, 16


def made_owners(people: int = 5, seed: int = 0) -> Owners:
    """People of three images, some of their keypoints at the border and some off the map."""
    rng = torch.Generator().manual_seed(seed)
    return Owners(
        image=torch.randint(0, 3, (people,), generator=rng),
        xy=torch.randint(-2, 18, (people, 4, 2), generator=rng),
        visible=torch.rand(people, 4, generator=rng) < 0.7,
        center=torch.rand(people, 2, generator=rng) * 12,
        size=torch.tensor([3.0, 6.0, 9.0, 12.0, 30.0])[:people],
    )


def made_offsets(seed: int = 1) -> Tensor:
    return torch.randn(3, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) * 5


def literal_offset_loss(offsets: Tensor, owners: Owners) -> float:
    """One keypoint and one pixel at a time."""
    away = []
    for person, image in enumerate(owners.image.tolist()):
        for (x, y), visible in zip(owners.xy[person].tolist(), owners.visible[person].tolist(), strict=True):
            for row in range(y - 1, y + 2):
                for column in range(x - 1, x + 2):
                    if visible and 0 <= row < HEIGHT and 0 <= column < WIDTH:
                        dx, dy = offsets[image, :, row, column].tolist()
                        center_x, center_y = owners.center[person].tolist()
                        distance = math.hypot(column + dx - center_x, row + dy - center_y)
                        away.append(distance / owners.size[person].item())
    return sum(away) / len(away)


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_equals_its_literal_twin(seed: int) -> None:
    owners, offsets = made_owners(seed=seed), made_offsets(seed)
    assert offset_loss(offsets, owners).item() == pytest.approx(literal_offset_loss(offsets, owners), rel=1e-5)


def test_it_is_zero_where_all_point_at_the_center_or_nobody_is_seen() -> None:
    owners = made_owners(people=1)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    center_x, center_y = owners.center[0]
    exact = torch.stack([center_x - x, center_y - y]).expand(3, -1, -1, -1)
    assert offset_loss(exact, owners).item() == pytest.approx(0, abs=1e-5)
    offsets = made_offsets().requires_grad_()
    loss = offset_loss(offsets, NOBODY)
    loss.backward()
    assert loss.item() == 0
    assert not offsets.grad.any()


def test_the_order_of_people_does_not_matter_and_sizes_are_relative() -> None:
    owners, offsets = made_owners(), made_offsets()
    turned = Owners(*(values.flip(0) for values in owners))
    torch.testing.assert_close(offset_loss(offsets, turned), offset_loss(offsets, owners))
    twice = owners._replace(size=2 * owners.size)
    torch.testing.assert_close(2 * offset_loss(offsets, twice), offset_loss(offsets, owners))


def test_only_what_is_seen_of_people_large_enough_has_an_owner() -> None:
    keypoints = torch.tensor([[[2.4, 3.6, 2], [5, 5, 1], [0, 0, 0]], [[7, 7.5, 2], [8, 8, 2], [9, 9, 2]]])
    made = ImageBatch(
        images=torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
        loss_mask=torch.ones(1, 1, 16, 16, dtype=torch.bool),
        person_image=torch.zeros(2, dtype=torch.long),
        keypoints=keypoints,
        radius=torch.tensor([4, 0]),
        center=torch.tensor([[3.7, 4.3], [8.0, 8.2]]),
        center_drawn=torch.tensor([True, False]),
        instance_image=torch.zeros(1, dtype=torch.long),
        instance_person=torch.zeros(1, dtype=torch.long),
        instance_yx=torch.tensor([[4, 3]]),
        instance_boxes=torch.ones(1, 4),
        most_instances=1,
        keys=("a",),
    )
    owners = render_targets(made).owners
    assert owners.visible.tolist() == [[True, False, False], [False, False, False]]
    assert owners.xy[0, 0].tolist() == [2, 4]
    torch.testing.assert_close(owners.center, made.center)
    assert owners.size.tolist() == [12, 3]


def test_the_paper_s_losses_stay_as_they_are() -> None:
    images, targets = batch()
    outputs = tiny_boir().train()(images, targets.instance_image, targets.instance_yx)
    assert outputs.offsets is None
    alone = losses(outputs, targets, BoIRLosses())
    assert "offset" not in alone
    told = outputs._replace(offsets=torch.zeros(2, 2, 16, 16, requires_grad=True))
    owners = Owners(
        image=torch.tensor([1]),
        xy=torch.tensor([[[5, 5]]]),
        visible=torch.tensor([[True]]),
        center=torch.tensor([[5.0, 9.0]]),
        size=torch.tensor([4.0]),
    )
    with_offset = losses(told, replace(targets, owners=owners), BoIRLosses(offset=0.5))
    assert {name: value.item() for name, value in with_offset.items() if name != "offset"} == {
        name: value.item() for name, value in alone.items()
    }
    # From the nine pixels around (5, 5) it is about 4 to (5, 9), a person's size.
    assert with_offset["offset"].item() == pytest.approx(0.5, rel=0.1)


def test_a_recipe_asks_for_it_of_the_backbone_that_tells_offsets() -> None:
    assert load_recipe("boir-lite", ["data.skeleton=coco"]).losses.offset > 0  # type: ignore[attr-defined]
    assert load_recipe("boir-w32-coco").losses.offset == 0  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"losses\.offset is for boir on openpose-light: .* boir on hrnet"):
        load_recipe("boir-w32-coco", ["losses.offset=1"])
