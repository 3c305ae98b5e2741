"""The authors' MIPNet, HRNet and SimpleBaseline files: what is read from their names and shapes, in and out."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from everypose.backbones.hrnet import HRNet
from everypose.backbones.resnet import BLOCKS, ResNet
from everypose.backbones.settings import HRNetSettings
from everypose.errors import EveryposeError
from everypose.methods.mipnet import checkpoint as mipnet
from everypose.methods.mipnet.binary_selectors import FIRST_LAYER, NORM
from everypose.methods.mipnet.network import MIPNet, Sites
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.baselines import Baseline, HRNetPose, SimpleBaseline
from everypose.models.import_checkpoint import identify, read_state
from everypose.models.storage import load_strictly
from golden_vectors import load
from methods.mipnet.golden_networks import built, imported, recipe_state, tiny_baseline, tiny_mipnet, w8_state

EVERY_SITES = [sites for sites in product((False, True), repeat=4) if any(sites)]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    lambda state: {
        "epoch": 103, "model": "pose_hrnet_se_lambda", "perf": 0.0, "optimizer": {"state": {}, "param_groups": []},
        "state_dict": {f"module.{name}": value + 1 for name, value in state.items()},
        "best_state_dict": {name: value + 1 for name, value in state.items()},
        "latest_state_dict": state,
    },
])  # fmt: skip
def test_the_latest_weights_are_read(tmp_path: Path, wrap: Any) -> None:
    state = w8_state()
    torch.save(wrap(state), tmp_path / "checkpoint_103.pth")
    read = read_state(tmp_path / "checkpoint_103.pth")
    assert same(read, state)
    assert same(imported(read).state, imported(state).state)


def test_sizes_and_sites_of_the_recorded_networks() -> None:
    backbone = HRNetSettings(width=8, modules=(1, 2, 2), blocks=1)
    two = MIPNetSettings(backbone=backbone, sites=(False, False, True, True), instances=2)
    assert imported(w8_state())[:2] == (two, 17)
    assert imported(w8_state(all_sites=True))[:2] == (two.model_copy(update={"sites": (True,) * 4}), 17)


@pytest.mark.parametrize("sites", EVERY_SITES)
@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_sites_are_read_from_the_names(kind: str, sites: Sites) -> None:
    with torch.device("meta"):
        ours = MIPNet(tiny_baseline(kind), sites, instances=3).state_dict()
    settings, keypoints, *_ = imported(mipnet.export_state(ours))
    assert isinstance(settings, MIPNetSettings)
    assert (settings.family, settings.sites, settings.instances, keypoints) == ("mipnet", sites, 3, 5)


@pytest.mark.parametrize(("baseline", "found"), [
    *((
        lambda width=width: HRNetPose(HRNet(width, outputs=1), 17),
        {"family": "hrnet", "backbone": HRNetSettings(width=width).model_dump()},
    ) for width in (32, 48)),
    *((
        lambda depth=depth: SimpleBaseline(ResNet(BLOCKS[depth]), 17),
        {"family": "simple-baseline", "backbone": {"kind": "resnet", "blocks": BLOCKS[depth]}, "deconv": 256},
    ) for depth in BLOCKS),
])  # fmt: skip
def test_full_size_networks_are_recognized_there_and_back(baseline: Any, found: dict[str, Any]) -> None:
    with torch.device("meta"):
        plain: Baseline = baseline()
        several = MIPNet(plain)
        networks = [(plain, found), (several, {**found, "family": "mipnet", "sites": (False, False, True, True)})]
        for network, wanted in networks:
            theirs = with_values(mipnet.export_state(network.state_dict()))
            settings, keypoints, ours, *_ = imported(theirs)
            assert keypoints == 17
            assert {name: value for name, value in settings.model_dump().items() if name in wanted} == wanted
            assert list(ours) == list(network.state_dict())


def with_values(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with the values of an untrained network where reading looks at them: at the selectors' layers."""
    read = (f"{FIRST_LAYER}weight", f"{NORM}running_var")
    return {
        name: torch.ones(value.shape, device="cpu") if name.endswith(read) else value for name, value in state.items()
    }


@pytest.mark.parametrize("name", ["hrnet_w32", "resnet50"])
def test_names_of_the_release_go_there_and_back(name: str) -> None:
    names = load(f"mipnet/{name}")["keys"].tolist()
    state = dict(zip(names, recipe_state(load(f"mipnet/{name}")).values(), strict=True))
    ours = imported(state).state
    assert set(ours) == {name for name in ours if name.startswith(("backbone.", "modulation.", "head."))}
    assert set(mipnet.export_state(ours)) == set(names)


@pytest.mark.parametrize("kind", ["hrnet", "resnet"])
def test_tensors_go_there_and_back(kind: str) -> None:
    network = tiny_mipnet(kind, instances=3)
    settings, keypoints, ours, *_ = imported(mipnet.export_state(network.state_dict()))
    again = built(settings, keypoints)
    load_strictly(again, ours, Path("there.pth"))
    assert same(again.state_dict(), network.state_dict())


def test_counters_that_old_files_lack_are_filled_in() -> None:
    ours = tiny_baseline("resnet").state_dict()
    theirs = {name: value for name, value in mipnet.export_state(ours).items() if not name.endswith("_tracked")}
    assert same(imported(theirs).state, ours)


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: t.pop("stage3_se.se_layers.2.fc.0.weight"), "1 missing (modulation.2.2.excite.0.weight)"),
    (lambda t: t.update({"stage3_se.se_layers.4.fc.0.weight": torch.zeros(1)}), "1 not part of the network"),
    (lambda t: t.update({"stage4_se.se_layers.0.fc_lambda.0.weight": torch.zeros(2, 3)}), "is (2, 3), not (2, 2)"),
    (lambda t: t.update({"stage2_se.se_layers.0.fc_lambda.0.weight": torch.zeros(2, 2)}), "missing (modulation.1.0."),
    (lambda t: t.pop("bn1.num_batches_tracked"), "1 missing (backbone.bn1.num_batches_tracked)"),
])  # fmt: skip
def test_tensors_that_do_not_fit(change: Any, words: str) -> None:
    state = w8_state()
    change(state)
    settings, keypoints, ours, *_ = imported(state)
    with pytest.raises(EveryposeError) as caught:
        load_strictly(built(settings, keypoints), ours, Path("bad.pth"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [
    "stage2.0.branches.0.0.conv1.weight", "stage3_se.se_layers.0.fc_lambda.0.weight",
])  # fmt: skip
def test_a_tensor_that_tells_is_missing(missing: str) -> None:
    state = w8_state()
    del state[missing]
    with pytest.raises(EveryposeError, match=rf"bad\.pth: the tensor {missing} is missing"):
        identify(state, Path("bad.pth"))
