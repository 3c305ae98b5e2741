"""CID's losses against the golden vectors and a literal twin."""

import pytest
import torch
import torch.nn.functional as F

from everypose.methods.cid import checkpoint as cid
from everypose.methods.cid.losses import contrastive_loss, losses
from everypose.methods.cid.settings import CIDLosses
from golden_vectors import batch, load, relative_error, tiny_cid


def test_losses_and_gradients_equal_the_release() -> None:
    vectors = load("cid_tiny")
    network = tiny_cid().train()
    images, targets = batch()
    values = losses(network(images, targets.instance_image, targets.instance_yx), targets, CIDLosses(divisor=2))
    sum(values.values()).backward()
    assert len(values) == 3
    for name, value in values.items():
        assert 2 * value.item() == pytest.approx(float(vectors[f"train/loss/{name}_loss"]), rel=1e-5)
    parameters = cid.RENAMING.to_released(dict(network.named_parameters()))
    for name in (name for name in vectors if name.startswith("train/grad/")):
        assert relative_error(parameters[name.removeprefix("train/grad/")].grad, vectors[name]) < 1e-4, name


def test_contrastive_loss_equals_its_literal_twin() -> None:
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    image = torch.tensor([0, 0, 0, 1, 2, 2])
    total = 0.0
    for i in range(3):
        own = F.normalize(vectors[image == i], dim=1)
        for j, vector in enumerate(own):
            total += F.cross_entropy((own @ vector / 0.05)[None], torch.tensor([j])).item()
    assert contrastive_loss(vectors, image).item() == pytest.approx(total / 6, rel=1e-5)


def test_contrastive_loss_of_nobody_is_zero() -> None:
    assert contrastive_loss(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)) == 0
