"""Modulation blocks where the paper's text has them: after the blocks that close HRNet's stages."""

import pytest
import torch
from torch import Tensor, nn

from everypose.backbones.hrnet import HRNet
from everypose.backbones.settings import HRNetSettings
from everypose.errors import EveryposeError, UsageError
from everypose.methods.mipnet import checkpoint
from everypose.methods.mipnet.method import build
from everypose.methods.mipnet.modulation import select
from everypose.methods.mipnet.network import PUBLISHED_SITES, MIPNet, Sites
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.baselines import HRNetPose
from methods.mipnet.golden_networks import tiny_baseline

ALL_SITES: Sites = (True, True, True, True)


def tiny(sites: Sites, instances: int = 3) -> MIPNet:
    torch.manual_seed(0)
    network = MIPNet(tiny_baseline("hrnet"), sites, instances, placement="stage-ends")
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network.eval()


@torch.no_grad()
def literal(network: MIPNet, sites: Sites, image: Tensor, selector: Tensor) -> Tensor:
    """One crop and one selector, layer by layer."""
    backbone = network.backbone
    assert isinstance(backbone, HRNet)
    blocks = list(network.modulation)

    def modulated(site: int, maps: list[Tensor]) -> list[Tensor]:
        if not sites[site]:
            return maps
        gated = []
        for block, x in zip(blocks[site], maps, strict=True):
            gate = block.excite(x.mean((2, 3))) * block.embed(selector[None])
            gated.append(x * gate[:, :, None, None])
        return gated

    x = torch.relu(backbone.bn1(backbone.conv1(image[None])))
    x = torch.relu(backbone.bn2(backbone.conv2(x)))
    maps = modulated(0, [backbone.layer1(x)])
    maps = modulated(1, backbone.stage2([backbone.transition1[0](maps[0]), backbone.transition1[1](maps[0])]))
    maps = modulated(2, backbone.stage3([*maps, backbone.transition2[2](maps[1])]))
    maps = modulated(3, backbone.stage4([*maps, backbone.transition3[3](maps[2])]))
    heatmaps: Tensor = network.head(maps[0])
    return heatmaps[0]


@pytest.mark.parametrize("sites", [PUBLISHED_SITES, ALL_SITES, (False, True, False, False), (True, False, False, True)])
def test_heatmaps_equal_the_literal_network(sites: Sites) -> None:
    network, images = tiny(sites), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        together = network.heatmaps(images)
    alone = torch.stack(
        [torch.stack([literal(network, sites, image, select(i, 3)) for i in range(3)]) for image in images]
    )
    assert (together - alone).abs().max() < 1e-5 * alone.abs().max()
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-4 * alone.abs().max()


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("width", "baseline", "added"), [
    # 3 C^2 / 4 + 9 C / 4 for each block: three at the end of stage 3, one at that of stage 4.
    (32, 28_536_113, 840 + 3_216 + 12_576 + 840), (48, 63_595_745, 1_836 + 7_128 + 28_080 + 1_836),
])  # fmt: skip
def test_parameters_of_the_papers_text(width: int, baseline: int, added: int) -> None:
    with torch.device("meta"):
        network = build(MIPNetSettings(backbone=HRNetSettings(width=width), placement="stage-ends"), 17)
    assert count(network) == baseline + added


def test_the_end_of_stage_4_is_the_same_place_in_both() -> None:
    last: Sites = (False, False, False, True)
    ends, released = tiny(last), MIPNet(tiny_baseline("hrnet"), last, 3).eval()
    released.load_state_dict(ends.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ends.heatmaps(images), released.heatmaps(images))
    assert set(checkpoint.export_state(ends.state_dict())) == set(checkpoint.export_state(released.state_dict()))


def test_both_train_every_block() -> None:
    network = tiny(PUBLISHED_SITES).train()
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.modulation.parameters()
               if value.ndim > 1)  # fmt: skip


@pytest.mark.parametrize("sites", [PUBLISHED_SITES, (True, False, False, False), (False, True, False, True)])
def test_no_released_form(sites: Sites) -> None:
    with pytest.raises(EveryposeError, match="stage-ends has no authors' form"):
        checkpoint.export_state(tiny(sites).state_dict())


def test_only_an_hrnet_has_stages_with_ends() -> None:
    with pytest.raises(UsageError, match="only an HRNet has modulation blocks at the ends of its stages"):
        MIPNet(tiny_baseline("resnet"), placement="stage-ends")
    assert isinstance(tiny_baseline("hrnet"), HRNetPose)
