import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import everypose
from everypose.errors import UsageError
from everypose.inference.boxes import Boxes
from everypose.training.lightning_module import PoseTraining
from everypose.training.recipe_files import load_recipe
from everypose.training.run import make_task, train
from training.crop_recipes import EXTRA, ONE, STILL, VAL, VIT

# --- learning


def test_a_tiny_mipnet_learns_six_crops(crops):
    """It starts with the loss of finding nothing, halves it, and then finds people in their pictures."""
    task = make_task(crops("model.backbone.width=8", VAL, *STILL))
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in range(6)])
    optimizer = torch.optim.Adam(task.parameter_groups(network), lr=5e-3)
    totals = []
    for _ in range(40):
        total = sum(task.losses(network, batch).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0] / 2
    (validator,) = task.validators
    assert validator.score(validator.predict(network, torch.device("cpu")).results).ap > 0.02


def test_a_run_validates_in_the_annotated_boxes_and_leaves_a_model(crops, tmp_path, losses_of, figures):
    outcome = train(crops(VAL, "validation.pictures=1"), tmp_path / "run", ONE, quiet=True)
    assert -1 <= outcome.ap <= 1
    lines = losses_of(tmp_path / "run")
    assert set(lines) == {1, 2, 3, 4}
    assert lines[1]["loss/total"] == pytest.approx(lines[1]["loss/instance0"] + lines[1]["loss/instance1"])
    box = Boxes(np.array([[10.0, 10.0, 60.0, 110.0]]), np.ones(1))
    model = everypose.load(outcome.model, detector=lambda _: box, min_score=0)
    assert model(figures / "images/000001.png").keypoints.shape[1:] == (17, 3)
    assert model.config.on_crops.crop_size == (64, 64)


def test_an_interrupted_run_goes_on_with_the_losses_of_an_undisturbed_one(crops, tmp_path, losses_of, monkeypatch):
    def interrupted(self, *arguments, **named):
        step(self, *arguments, **named)
        if self.step == 3:
            raise KeyboardInterrupt

    recipe = crops("schedule.steps=6", "trainer.checkpoint_steps=2", "ema.decay=0.9", "data.workers=1")
    undisturbed, resumed = tmp_path / "undisturbed", tmp_path / "resumed"
    train(recipe, undisturbed, ONE, quiet=True)
    step = PoseTraining.optimizer_step
    monkeypatch.setattr(PoseTraining, "optimizer_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, resumed, ONE, quiet=True)
    monkeypatch.undo()
    train(load_recipe(resumed / "recipe.toml"), resumed, ONE, resume=True, quiet=True)
    assert losses_of(resumed) == losses_of(undisturbed)
    one, other = (load_file(run / "models/final/model.safetensors") for run in (undisturbed, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UsageError, match="trained on 11 people, the data now has 22"):
        train(crops("schedule.steps=9", EXTRA), resumed, ONE, resume=True, quiet=True)


@pytest.mark.parametrize(
    ("model", "losses"),
    [
        (["model.family=hrnet"], ["heatmap"]),
        (["model.instances=1"], ["instance0"]),
        (["model.instances=3", "crops.others=paper"], ["instance0", "instance1", "instance2"]),
        (["model={family='simple-baseline', deconv=8, backbone={kind='resnet', blocks=[1, 1, 1, 1]}}"], ["heatmap"]),
        ([*VIT, "optim.layer_decay=0.5"], ["heatmap"]),
    ],
    ids=["hrnet", "one instance", "three", "simple-baseline", "vitpose"],
)
def test_every_family_learns_for_a_step(crops, model, losses):
    task = make_task(crops(*model))
    network = task.make_network().train()
    optimizer = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    before = {name: value.detach().clone() for name, value in network.backbone.named_parameters()}
    found = task.losses(network, task.samples.collate([task.samples[0], task.samples[1]]))
    assert list(found) == losses
    sum(found.values()).backward()
    optimizer.step()
    assert not [name for name, value in network.backbone.named_parameters() if torch.equal(value, before[name])]
    assert not task.validators
