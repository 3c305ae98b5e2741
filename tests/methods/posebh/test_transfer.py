"""A new skeleton from a trained network."""

import pytest
import torch

from everypose.errors import UsageError
from everypose.methods.posebh.network import DataSet
from everypose.methods.posebh.objective import losses
from everypose.methods.posebh.phases import freeze
from everypose.methods.posebh.settings import PoseBHLosses
from everypose.methods.posebh.transfer import transfer
from methods.posebh.golden_networks import TRANSFER_TO_INTERHAND, targets_of, tiny

HAND = DataSet("hand", 5)


def test_the_backbone_head_and_embedding_are_taken_over() -> None:
    source = tiny().eval()
    network = transfer(source, HAND, like="b").eval()
    assert network.datasets == (HAND,)
    assert network.backbone.experts == 0
    assert network.prototypes.bank.shape == (5, 3, 8)
    assert network.heads[0].keypoints == 5
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        ours = network(images, torch.zeros(2, dtype=torch.long))
        theirs = source(images, torch.ones(2, dtype=torch.long))
    assert torch.allclose(ours.embedding, theirs.embedding, atol=1e-5)
    old, new = (net.state_dict() for net in (source.heads[1].deconv_layers, network.heads[0].deconv_layers))
    assert all(torch.equal(value, new[name]) for name, value in old.items())


def test_the_embedding_stays_while_head_and_prototypes_learn() -> None:
    network = transfer(tiny(), HAND, like="a").train()
    phase = TRANSFER_TO_INTERHAND.phase(0)
    freeze(network, phase)
    bank = network.prototypes.bank.clone()
    truth = torch.rand(2, 5, 16, 12)
    settings = PoseBHLosses(prototype_heatmap=1.25e-5, threshold=0.2, pixel_weight="equal")
    outputs = network(torch.randn(2, 3, 64, 48), torch.zeros(2, dtype=torch.long))
    targets = targets_of([0, 0], truth, torch.ones(2, 5), [5])
    values, moved = losses(network, outputs, targets, phase=phase, settings=settings)
    sum(values.values()).backward()
    assert all(parameter.grad is None for parameter in network.embedding.parameters())
    assert all(parameter.grad is not None for parameter in network.heads.parameters())
    assert moved is not None
    assert not torch.allclose(moved, bank, atol=1e-6)


def test_what_cannot_be_transferred() -> None:
    with pytest.raises(UsageError, match="named 'c'"):
        transfer(tiny(), HAND, like="c")
    with pytest.raises(UsageError, match="hand has no keypoints"):
        transfer(tiny(), DataSet("hand", 0), like="a")
