"""HRNet in the two forms that networks take: all branches joined, and branch 0 alone."""

import pytest
import torch

from everypose.backbones.hrnet import HRNet


@pytest.mark.parametrize("outputs", [1, 4])
def test_steps_give_maps_of_the_promised_widths(outputs: int) -> None:
    network = HRNet(4, (1, 2, 2), 1, 1, outputs).eval()
    maps = [torch.randn(2, 3, 64, 96)]
    with torch.no_grad():
        feature = network(maps[0])
        for step, widths in zip(network.steps(), network.step_widths, strict=True):
            maps = step(maps)
            assert [x.shape for x in maps] == [(2, c, 16 >> i, 24 >> i) for i, c in enumerate(widths)]
        assert torch.equal(network.finish(maps), feature)
    assert feature.shape == (2, network.channels, 16, 24)
    assert len(maps) == outputs


@pytest.mark.parametrize("outputs", [1, 4])
def test_stages_are_another_cut_of_the_same_network(outputs: int) -> None:
    network = HRNet(4, (1, 2, 2), 1, 1, outputs).eval()
    maps = [torch.randn(2, 3, 64, 96)]
    with torch.no_grad():
        feature = network(maps[0])
        for step, widths in zip(network.stages(), network.stage_widths, strict=True):
            maps = step(maps)
            assert [x.shape for x in maps] == [(2, c, 16 >> i, 24 >> i) for i, c in enumerate(widths)]
        assert torch.equal(network.finish(maps), feature)
    assert [len(widths) for widths in network.stage_widths] == [1, 2, 3, outputs]


def test_branch_0_alone_is_the_first_part_of_all() -> None:
    every, first = HRNet(4, (1, 2, 2), 1, 1).eval(), HRNet(4, (1, 2, 2), 1, 1, outputs=1).eval()
    shared = {name: value for name, value in every.state_dict().items() if name in first.state_dict()}
    first.load_state_dict(shared)
    left_out = {name for name in every.state_dict() if name not in shared}
    assert {name.split("fuse_layers.")[1][0] for name in left_out} == {"1", "2", "3"}
    assert all(name.startswith("stage4.1.fuse_layers.") for name in left_out)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(first(images), every(images)[:, :4])


@pytest.mark.parametrize(("width", "parameters"), [(32, 28_535_552), (48, 63_594_912)])
def test_parameter_counts_on_crops(width: int, parameters: int) -> None:
    # Of HRNet's pose network, less its head.
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in HRNet(width, outputs=1).parameters()) == parameters
