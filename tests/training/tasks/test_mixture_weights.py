import json

import pytest
import torch
from safetensors.torch import load_file

from everypose.errors import EveryposeError, UsageError
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import save_model
from everypose.training.run import make_task, train
from training.mixtures import ONE, set_tables

# --- weights to start from


def test_posebh_starts_from_vitpose_plus_plus(mixture, plus_plus, tmp_path):
    train(plus_plus("schedule.epochs=0", "schedule.steps=1", "trainer.seed=5"), tmp_path / "run", ONE, quiet=True)
    saved = load_file(tmp_path / "run/models/final/model.safetensors")
    start = f"start.weights={json.dumps(str(tmp_path / 'run/models/final'))}"
    new = 'start.reinitialize=["embedding.", "prototypes."]'
    network = make_task(mixture(start, new)).make_network().state_dict()
    assert all(torch.equal(network[name], value) for name, value in saved.items())
    assert {n.split(".")[0] for n in network if n not in saved} == {"embedding", "prototypes"}
    with pytest.raises(EveryposeError, match=r"does not fit .*start\.reinitialize"):
        make_task(mixture(start)).make_network()


def test_a_checkpoint_of_other_sets_is_refused(mixture, figures, tmp_path):
    train(mixture("schedule.epochs=0", "schedule.steps=1"), tmp_path / "run", ONE, quiet=True)
    start = f"start.weights={json.dumps(str(tmp_path / 'run/models/final'))}"
    tables = set_tables(figures).split("[[data.sets]]")[1:]
    two = "".join("[[data.sets]]" + table for table in tables[:2])
    with pytest.raises(
        UsageError, match=r"has 3 data sets \(coco, crowdpose, mpii\), the recipe 2 \(coco, crowdpose\)"
    ):
        make_task(mixture(start, tables=two)).make_network()
    order = "".join("[[data.sets]]" + table for table in reversed(tables))
    with pytest.raises(UsageError, match="the same sets in the same order"):
        make_task(mixture(start, tables=order)).make_network()
    with pytest.raises(UsageError, match="2 experts for 3 data sets"):
        make_task(mixture("model.backbone.experts=2")).make_network()


def test_transfer_starts_from_one_sets_expert_and_head(mixture, figures, tmp_path):
    source, config = make_task(mixture("trainer.seed=7", "start.heads=framework")), None
    network = source.make_network()
    config = source.config
    save_model(network, config, tmp_path / "posebh")
    table = "[[data.sets]]" + set_tables(figures).split("[[data.sets]]")[2].replace('"crowdpose"\n', '"new"\n', 1)
    transfer = [
        f"start.weights={json.dumps(str(tmp_path / 'posebh'))}", "start.transfer_like=mpii",
        "model.backbone.expert_part=0", "phases.embedding=false", "phases.heads_from=0", "phases.cross_type_from=none",
    ]  # fmt: skip
    new = make_task(mixture(*transfer, tables=table)).make_network()
    plain, _ = select_skeleton(network, config, "mpii")
    old, found = plain.state_dict(), new.state_dict()
    assert {name for name in old if name.startswith("backbone.")} <= set(found)
    assert all(torch.equal(found[name], old[name]) for name in old if name.startswith("backbone."))
    assert torch.equal(found["heads.0.deconv_layers.0.weight"], old["head.deconv_layers.0.weight"])
    assert found["heads.0.final_layer.weight"].shape[0] == 14
    assert torch.equal(found["embedding.neck.conv1.weight"], network.state_dict()["embedding.neck.conv1.weight"])
    assert found["prototypes.bank"].shape == (14, 3, 8)
    for wrong, expected in (
        (["start.transfer_like=fish"], "the network has no data set named 'fish'"),
        (["start.transfer_like="], r"for one new set, give start\.transfer_like"),
    ):
        with pytest.raises(UsageError, match=expected):
            make_task(mixture(*transfer, *wrong, tables=table)).make_network()
    with pytest.raises(UsageError, match="with all its experts to one new set"):
        make_task(mixture(*transfer)).make_network()


def test_experts_start_alike_from_pre_training(mixture, tmp_path):
    task = make_task(mixture())
    state = {n: v for n, v in task.make_network().backbone.merged(0).state_dict().items() if "last_norm" not in n}
    torch.save({"model": state}, tmp_path / "mae.pth")
    start = f"start.backbone={json.dumps(str(tmp_path / 'mae.pth'))}"
    found = make_task(mixture(start, "trainer.seed=3")).make_network().backbone.state_dict()
    for expert in range(3):
        assert torch.equal(found[f"blocks.0.mlp.experts.{expert}.weight"], state["blocks.0.mlp.fc2.weight"][-4:])
    assert torch.equal(found["patch_embed.proj.weight"], state["patch_embed.proj.weight"])
