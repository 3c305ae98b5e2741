"""BoIR's losses against the golden vectors and literal twins."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.methods.boir import checkpoint as boir
from everypose.methods.boir.bbox_mask_loss import bbox_mask_loss
from everypose.methods.boir.losses import bbox_loss, ciou_loss, losses
from everypose.methods.boir.settings import BoIRLosses
from golden_vectors import NOBODY, batch, load, relative_error, tiny_boir

LEVELS = {"instance": "corrected_bg0", "image": "corrected_bg1"}


@pytest.mark.parametrize("background", ["instance", "image"])
def test_losses_and_gradients_equal_the_corrected_release(background: str) -> None:
    vectors, prefix = load("boir_tiny"), LEVELS[background]
    network = tiny_boir().train()
    images, targets = batch()
    values = losses(
        network(images, targets.instance_image, targets.instance_yx),
        targets,
        BoIRLosses(background=background, divisor=2),
    )
    total = sum(values.values())
    total.backward()
    assert len(values) == 4
    for name, value in values.items():
        # The vectors hold the sum over the batch; everypose's are divided by its two images.
        assert 2 * value.item() == pytest.approx(float(vectors[f"{prefix}/loss/{name}_loss"]), rel=1e-5)
    assert total.item() == pytest.approx(float(vectors[f"{prefix}/loss/total_per_image"]), rel=1e-5)
    parameters = boir.RENAMING.to_released(dict(network.named_parameters()))
    recorded = [name for name in vectors if name.startswith(f"{prefix}/grad/")]
    assert len(recorded) == 9
    for name in recorded:
        assert relative_error(parameters[name.removeprefix(f"{prefix}/grad/")].grad, vectors[name]) < 1e-4, name


@pytest.mark.parametrize("background", ["instance", "image"])
@pytest.mark.parametrize(("file", "name"), [("boir_tiny", "maskloss"), ("boir_extra", "maskloss2")])
def test_bbox_mask_loss_equals_the_corrected_release(file: str, name: str, background: str) -> None:
    vectors = load(file)
    level = LEVELS[background]
    boxes = [torch.from_numpy(vectors[f"{name}/boxes{i}"]).float() for i in (0, 1)]
    index = torch.tensor([i for i, some in enumerate(boxes) for _ in some])
    embedding = torch.from_numpy(vectors[f"{name}/emb"]).requires_grad_()
    loss = bbox_mask_loss(embedding, torch.cat(boxes), index, max(map(len, boxes)), background) * len(index)
    loss.backward()
    assert loss.item() == pytest.approx(float(vectors[f"{name}/{level}"]), rel=1e-5)
    assert relative_error(embedding.grad, vectors[f"{name}/{level}_grad"]) < 1e-4


def literal_bbox_mask_loss(
    embedding: Tensor, boxes_of: list[Tensor], background: str, released_center: bool = False
) -> Tensor:
    """The Bbox Mask Loss one instance and one pixel set at a time, as the paper tells it."""
    beta, instances = 10.0, sum(len(boxes) for boxes in boxes_of)
    total = torch.zeros(())
    for emb, boxes in zip(F.normalize(embedding, dim=1), boxes_of, strict=True):
        channels, height, width = emb.shape
        centers: list[Tensor] = []
        outside_all = torch.ones(height, width, dtype=torch.bool)
        pulls, pushes = torch.zeros(()), torch.zeros(())
        for x, y, w, h in boxes.tolist():
            x1, x2 = (min(max(v, 0), width - 1) for v in (int(x) - 1, int(x + w) + 1))
            y1, y2 = (min(max(v, 0), height - 1) for v in (int(y) - 1, int(y + h) + 1))
            if x2 - x1 < 2 or y2 - y1 < 2:
                continue
            middle = ((x + w) / 2, (y + h) / 2) if released_center else (x + w / 2, y + h / 2)
            column, row = (
                min(max(math.floor(v), 0), side - 1) for v, side in zip(middle, (width, height), strict=True)
            )
            c = emb[:, row, column]
            inside = torch.zeros(height, width, dtype=torch.bool)
            inside[y1:y2, x1:x2] = True
            outside_all &= ~inside
            pixels = emb[:, inside]
            s = torch.exp(-beta * ((c[:, None] - pixels) ** 2).sum(0)).detach()
            s = s / max(s.max().item(), 1.0)
            if s.sum() < 1e-5:
                own, pull = c, torch.zeros(())
            else:
                m = (pixels * s).sum(1) / s.sum()
                own = (c + m) / 2
                pull = (((c - own) ** 2).sum() + ((m - own) ** 2).sum()) / channels
            outside = emb[:, ~inside].mean(1)
            pulls = pulls + pull
            pushes = pushes + literal_push([own, outside], beta)
            centers.append(c)
        if background == "instance":
            total = total + pulls + pushes + literal_push(centers, beta)
        elif centers:
            if outside_all.any():
                centers.append(emb[:, outside_all].mean(1))
            total = total + literal_push(centers, beta) + (pulls if background == "both" else 0)
    return total / max(instances, 1)


def literal_push(vectors: list[Tensor], beta: float) -> Tensor:
    if len(vectors) < 2:
        return torch.zeros(())
    pairs = [torch.exp(-beta * ((a - b) ** 2).mean()) for a in vectors for b in vectors]
    return torch.stack(pairs).sum() * 0.5 / (len(vectors) - 1)


@pytest.mark.parametrize("background", ["instance", "image", "both"])
def test_bbox_mask_loss_equals_its_literal_twin(background: str) -> None:
    generator = torch.Generator().manual_seed(3)
    embedding = torch.nn.functional.interpolate(
        torch.randn(3, 6, 5, 5, generator=generator), size=(20, 24), mode="bicubic"
    )
    boxes = [
        torch.tensor([[2.3, 3.1, 9.0, 8.2], [0.0, 0.0, 23.0, 19.0], [20.0, 16.0, 9.0, 9.0]]),
        torch.tensor([[5.0, 5.0, 0.4, 9.0], [23.0, 19.0, 0.0, 0.0]]),
        torch.zeros(0, 4),
    ]
    index = torch.tensor([0, 0, 0, 1, 1])
    ours, twin = embedding.clone().requires_grad_(), embedding.clone().requires_grad_()
    loss = bbox_mask_loss(ours, torch.cat(boxes), index, 3, background)
    literal = literal_bbox_mask_loss(twin, boxes, background)
    loss.backward()
    literal.backward()
    assert loss.item() == pytest.approx(literal.item(), rel=1e-5)
    assert torch.allclose(ours.grad, twin.grad, atol=1e-6)


def test_the_papers_full_loss_on_the_golden_batch() -> None:
    network = tiny_boir().train()
    images, targets = batch()
    embedding = network(images, targets.instance_image, targets.instance_yx).embedding
    boxes = [targets.instance_boxes[:3], targets.instance_boxes[3:]]
    ours = 0.25 * bbox_mask_loss(embedding, targets.instance_boxes, targets.instance_image, 3, "both")
    assert ours.item() == pytest.approx(0.25 * literal_bbox_mask_loss(embedding, boxes, "both").item(), rel=1e-5)
    assert ours.item() == pytest.approx(0.223606, rel=1e-5)
    # The recorded value of the full loss takes the box center as released, in the wrong place.
    released = 0.25 * literal_bbox_mask_loss(embedding, boxes, "both", released_center=True)
    assert released.item() == pytest.approx(0.246459, rel=1e-5)


def test_permuting_people_leaves_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 4, 16, 16, generator=generator)
    boxes = torch.rand(5, 4, generator=generator) * 8
    index = torch.zeros(5, dtype=torch.long)
    order = torch.randperm(5, generator=generator)
    one, other = (bbox_mask_loss(embedding, some, index, 5) for some in (boxes, boxes[order]))
    assert torch.allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("background", ["instance", "image", "both"])
def test_no_instance_gives_zero_and_a_gradient(background: str) -> None:
    embedding = torch.randn(2, 4, 16, 16, requires_grad=True)
    loss = bbox_mask_loss(embedding, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 0, background)
    loss.backward()
    assert loss.item() == 0
    assert (embedding.grad == 0).all()


def literal_bbox_loss(distances: Tensor, boxes: Tensor, index: Tensor, yx: Tensor) -> Tensor:
    height, width = distances.shape[-2:]
    found = []
    for (x, y, w, h), image, (row, column) in zip(boxes.tolist(), index.tolist(), yx.tolist(), strict=True):
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                if 0 <= r < height and 0 <= c < width:
                    left, top, right, bottom = distances[image, :, r, c]
                    predicted = torch.stack([c - left, r - top, c + right, r + bottom])
                    found.append(ciou_loss(predicted, torch.tensor([x, y, x + w, y + h])))
    return torch.stack(found).mean()


def test_bbox_loss_equals_its_literal_twin() -> None:
    generator = torch.Generator().manual_seed(1)
    distances = torch.randn(2, 4, 12, 10, generator=generator) * 3
    boxes = torch.tensor([[1.0, 2, 5, 6], [0, 0, 3, 3], [4, 4, 5, 7]])
    index, yx = torch.tensor([0, 0, 1]), torch.tensor([[5, 3], [0, 0], [11, 9]])
    ours = bbox_loss(distances, boxes, index, yx)
    assert ours.item() == pytest.approx(literal_bbox_loss(distances, boxes, index, yx).item(), rel=1e-5)


def test_ciou_of_a_perfect_box_is_zero() -> None:
    box = torch.tensor([3.0, 4.0, 9.0, 20.0])
    assert ciou_loss(box, box).item() == pytest.approx(0, abs=1e-6)
    assert ciou_loss(box + 100, box).item() > 1


def test_losses_survive_an_image_without_people() -> None:
    network = tiny_boir().train()
    images, targets = batch()
    nobody = torch.zeros(0, dtype=torch.long)
    empty = targets.__class__(
        torch.zeros_like(targets.multi_heatmap), targets.loss_mask,
        torch.zeros(0, 17, 16, 16), torch.zeros(0, 17, 1, 1),
        nobody, nobody.reshape(0, 2), torch.zeros(0, 4), 0, NOBODY,
    )  # fmt: skip
    values = losses(network(images, nobody, empty.instance_yx), empty, BoIRLosses())
    assert all(np.isfinite(value.item()) for value in values.values())
    assert values["single_heatmap"] == values["bbox"] == values["bbox_mask"] == 0
