import json
import shlex

import pytest
import torch
from safetensors.torch import load_file

from everypose.errors import EveryposeError
from everypose.models.import_checkpoint import write_released
from everypose.skeleton.skeleton import Skeleton
from everypose.training.initial_weights import make_network, model_config, reinitialize_prefixes
from everypose.training.run import train
from training.crop_recipes import ONE, VIT

# --- weights to start from


def test_mipnet_starts_from_a_baseline_of_ours_or_of_the_authors(crops, tmp_path):
    baseline = crops("model.family=hrnet", "schedule.steps=1", "trainer.seed=5")
    train(baseline, tmp_path / "hrnet", ONE, quiet=True)
    saved = load_file(tmp_path / "hrnet/models/final/model.safetensors")
    network = make_network(baseline, 17)
    network.load_state_dict(saved)
    config = model_config(baseline, Skeleton.named("coco"))
    write_released(network, config, tmp_path / "authors.pth")
    for source in ("hrnet/models/final", "authors.pth"):
        start = f"start.weights={json.dumps(str(tmp_path / source))}"
        mipnet = make_network(crops(start, 'start.reinitialize=["modulation."]'), 17).state_dict()
        assert all(torch.equal(mipnet[name], value) for name, value in saved.items())
        assert {name for name in mipnet if name not in saved} == {n for n in mipnet if n.startswith("modulation.")}
        with pytest.raises(EveryposeError, match=r"does not fit .*modulation\..*start\.reinitialize"):
            make_network(crops(start), 17)
        crowd = make_network(crops(start, 'start.reinitialize=["modulation.", "head."]'), 14).state_dict()
        assert crowd["head.weight"].shape[0] == 14
        assert torch.equal(crowd["backbone.conv1.weight"], saved["backbone.conv1.weight"])
    backbone = {name.removeprefix("backbone."): value for name, value in saved.items() if name.startswith("backbone.")}
    torch.save(backbone | {"classifier.weight": torch.zeros(3)}, tmp_path / "imagenet.pth")
    mipnet = make_network(crops(f"start.backbone={json.dumps(str(tmp_path / 'imagenet.pth'))}"), 17).state_dict()
    assert all(torch.equal(mipnet["backbone." + name], value) for name, value in backbone.items())


def test_a_vit_starts_from_pre_training_on_squares(crops, tmp_path):
    recipe = crops(*VIT)
    backbone = make_network(recipe, 17).backbone.state_dict()
    pretrained = {name: torch.full_like(value, 0.5) for name, value in backbone.items() if "last_norm" not in name}
    pretrained["pos_embed"] = torch.full((1, 1 + 14 * 14, 12), 0.25)
    torch.save({"model": pretrained | {"cls_token": torch.zeros(1, 1, 12)}}, tmp_path / "mae.pth")
    start = f"start.backbone={json.dumps(str(tmp_path / 'mae.pth'))}"
    found = make_network(crops(*VIT, start), 17).backbone.state_dict()
    assert found["pos_embed"].shape == (1, 1 + 4 * 3, 12)
    torch.testing.assert_close(found["pos_embed"], torch.full_like(found["pos_embed"], 0.25))
    assert torch.equal(found["blocks.1.mlp.fc2.weight"], pretrained["blocks.1.mlp.fc2.weight"])
    assert torch.equal(found["last_norm.weight"], backbone["last_norm.weight"])


def test_the_error_prints_the_override_to_paste(crops, tmp_path):
    train(crops("model.family=hrnet", "schedule.steps=1"), tmp_path / "hrnet", ONE, quiet=True)
    start = f"start.weights={json.dumps(str(tmp_path / 'hrnet/models/final'))}"
    with pytest.raises(EveryposeError, match="does not fit") as refused:
        make_network(crops(start, 'start.reinitialize=["modulation."]'), 14)
    option, override = shlex.split(str(refused.value).split(", add ")[1])
    assert (option, override) == ("--set", 'start.reinitialize=["modulation.", "head."]')
    make_network(crops(start, override), 14)


def test_prefixes_cover_no_layer_that_fits():
    wanted = ["backbone.a.weight", "backbone.a.bias", "backbone.b.weight", "head.weight", "headless.weight", "scale"]
    unfit = ["backbone.a.weight", "backbone.a.bias", "head.weight", "scale"]
    assert reinitialize_prefixes(unfit, wanted) == ["backbone.a.", "head.", "scale"]
