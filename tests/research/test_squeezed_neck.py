"""A neck that looks at mixtures of channels: what it loses, and that a network can be given one."""

from typing import cast

import pytest
import torch
from research.boir_lite.mean_of_models import main as mean_of_models
from research.boir_lite.squeeze_neck import squeeze

from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.config import ModelConfig
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, tiny_boir

CONFIG = ModelConfig(
    name="tiny", network=TINY_BOIR, skeleton=Skeleton.named("coco").to_dict(), inference=SingleStageInference(size=64)
)


def features_of_few_directions(directions: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(60, directions, generator=generator)).Q
    return (mixing @ torch.randn(directions, 16 * 16, generator=generator)).reshape(1, 60, 16, 16)


@pytest.mark.parametrize("channels", [60, 9])
@torch.no_grad()
def test_nothing_is_lost_where_there_is_room_for_all_that_varies(channels: int) -> None:
    network = tiny_boir().eval()
    feature = features_of_few_directions(channels)
    values = feature[0].flatten(1).double()
    covariance = values @ values.T / values.shape[1] + 1e-9 * torch.eye(60)
    squeezed, config, kept = squeeze(network, CONFIG, covariance, channels)
    assert kept == pytest.approx(1, abs=1e-6)
    assert cast(BoIRSettings, config.network).neck_squeeze == channels
    narrow = cast(BoIR, squeezed.eval())
    torch.testing.assert_close(narrow.center_map(feature), network.center_map(feature), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_what_is_lost_is_told() -> None:
    _, _, kept = squeeze(tiny_boir(), CONFIG, torch.eye(60, dtype=torch.float64), 10)
    assert 0.2 < kept < 0.9


def test_the_mean_of_models(tmp_path, monkeypatch) -> None:
    networks = [tiny_boir(), tiny_boir()]
    with torch.no_grad():
        for value in networks[1].parameters():
            value.add_(0.5)
    for number, network in enumerate(networks):
        save_model(network, CONFIG, tmp_path / str(number))
    monkeypatch.setattr("sys.argv", ["mean", str(tmp_path / "out"), str(tmp_path / "0"), str(tmp_path / "1")])
    mean_of_models()
    state, first = load_model(tmp_path / "out")[0].state_dict(), networks[0].state_dict()
    for name, _ in networks[0].named_parameters():
        torch.testing.assert_close(state[name].float(), first[name] + 0.25, atol=2e-3, rtol=2e-3)
