"""BoIR's size, initialization and independence of its training heads."""

import pytest
import torch
from torch import nn

from everypose.backbones.hrnet import HRNet
from everypose.backbones.settings import HRNetSettings
from everypose.methods.boir.network import ASPP, BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.models.build import build_network
from golden_vectors import TINY_BOIR, tiny_boir


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_w32() -> None:
    with torch.device("meta"):
        network = BoIR(HRNet(32), 17)
    assert count(network) == 33_431_539
    assert count(network.backbone) == 29_305_536
    assert count(network.neck) == 1_947_392
    assert count(network.center) == 477_057
    assert network.auxiliary is not None
    assert [count(head) for head in (network.auxiliary.buk, network.auxiliary.emb, network.auxiliary.bbox)] == [
        495_505,
        623_488,
        480_516,
    ]
    assert count(network.instance_head) == 102_045


@pytest.mark.parametrize(("width", "instance", "auxiliary", "total"), [
    (32, 64, False, 31_832_030), (48, 96, True, 70_468_243), (48, 96, False, 68_868_734),
])  # fmt: skip
def test_parameter_counts(width: int, instance: int, auxiliary: bool, total: int) -> None:
    with torch.device("meta"):
        assert count(BoIR(HRNet(width), 17, instance=instance, auxiliary=auxiliary)) == total


def test_the_first_probabilities_are_one_in_a_hundred() -> None:
    torch.manual_seed(0)
    network = build_network(TINY_BOIR, 17).eval()
    with torch.no_grad():
        outputs = network(torch.randn(1, 3, 64, 64), torch.tensor([0]), torch.tensor([[5, 5]]))
    assert outputs.multi_heatmap.mean().item() == pytest.approx(0.01, rel=0.05)
    assert torch.allclose(outputs.box_distances, torch.ones(()))


def test_a_squeezed_neck_starts_alive() -> None:
    """Though its convolutions are as small as the paper's, its norms see values that they can tell apart."""
    torch.manual_seed(0)
    network = build_network(TINY_BOIR.model_copy(update={"neck_squeeze": 12}), 17).train()
    seen = network.neck.convs[1](network.neck.squeeze(torch.randn(2, network.backbone.channels, 16, 16)))
    assert 0.3 < seen.std() < 0.8


def test_training_heads_cost_nothing_at_inference() -> None:
    full = tiny_boir().eval()
    bare = build_network(BoIRSettings(**{**TINY_BOIR.model_dump(), "auxiliary": False}), 17).eval()
    bare.load_state_dict({name: value for name, value in full.state_dict().items() if "auxiliary" not in name})
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        feature = full.features(images)
        assert torch.equal(feature, bare.features(images))
        assert torch.equal(full.center_map(feature), bare.center_map(feature))


def test_a_width_of_48_builds_from_settings() -> None:
    with torch.device("meta"):
        network = build_network(BoIRSettings(backbone=HRNetSettings(width=48), instance=96), 14)
    assert network.instance_head.heatmap.out_channels == 14


def test_the_aspp_is_exact_under_bfloat16_and_takes_other_precisions() -> None:
    torch.manual_seed(0)
    aspp = ASPP(6, 4, 5).eval()
    x = torch.randn(2, 6, 9, 7)
    expected = aspp(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(aspp(x), expected)
        assert aspp(x.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(aspp.double()(x.double()).float(), expected)
    assert aspp.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_the_box_head_can_learn() -> None:
    torch.manual_seed(0)
    network = build_network(TINY_BOIR, 17).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = network(torch.randn(2, 3, 64, 64), torch.tensor([0]), torch.tensor([[5, 5]]))
        ((outputs.box_distances - 4) ** 2).mean().backward()
        optimizer.step()
    # The last convolution starts at 0, so that the layers before it follow one step later.
    assert network.auxiliary.bbox.conv1.weight.grad.abs().max() > 0
