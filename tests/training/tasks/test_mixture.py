import json

import pytest
import torch
from safetensors.torch import load_file

from everypose.errors import UsageError
from everypose.training.lightning_module import PoseTraining
from everypose.training.recipe_files import load_recipe
from everypose.training.run import make_task, train
from everypose.training.tasks.mixture import MixtureTask
from training.mixtures import ONE, SETS


def moved(network, before):
    """Which parts of a network are no longer what they were."""
    now = network.state_dict()
    return {name.split(".")[0] for name, value in before.items() if not torch.equal(now[name], value)}


def weights(network):
    """Everything but the statistics of batches, which follow the data in every phase."""
    return {n: v.clone() for n, v in network.state_dict().items() if "running" not in n and "num_batches" not in n}


# --- phases


def test_each_phase_moves_its_own_parts(mixture):
    task = make_task(mixture("start.heads=framework"))
    assert isinstance(task, MixtureTask)
    network = task.make_network().train()
    optimizer = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    batch = task.samples.collate([task.samples[position] for position in range(12)])
    found = []
    for epoch in (0, 1.5, 2, 2.9, 3, 4):
        before = weights(network)
        task.begin_step(network, epoch)
        values = task.losses(network, batch)
        task.end_step(network)
        optimizer.zero_grad()
        sum(values.values()).backward()
        optimizer.step()
        found.append(moved(network, before))
        names = [f"heatmap_{name}" for name, *_ in SETS]
        assert list(values) == ["cross_type", *names, "prototype", "prototype_heatmap"], "the same in all phases"
    first, second, third = {"embedding", "prototypes"}, {"embedding", "heads"}, {"embedding", "heads", "backbone"}
    assert found == [first, first, second, second, third, third]


def test_a_tiny_posebh_learns_its_pictures(mixture):
    task = make_task(
        mixture("start.heads=framework", "phases.heads_from=0", "phases.backbone_from=0", "model.channels=32")
    )
    network = task.make_network().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    batch = task.samples.collate([task.samples[position] for position in range(6)])
    task.begin_step(network, 0)
    totals = []
    for _ in range(45):
        found = task.losses(network, batch)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        totals.append(sum(value.item() for name, value in found.items() if name.startswith("heatmap_")))
    assert totals[-1] < totals[0] / 2, totals


def test_clusters_are_made_of_prototypes_at_rest(mixture):
    task = make_task(mixture("phases.clusters_from=3", "prototypes.cluster_count=20"))
    network = task.make_network().train()
    batch = task.samples.collate([task.samples[position] for position in range(4)])
    for epoch, expected in ((2, False), (3, True)):
        task.begin_step(network, epoch)
        assert (task.losses(network, batch)["clusters"] > 0) == expected
    with pytest.raises(UsageError, match="clusters_from must not be before prototypes_until"):
        mixture("phases.clusters_from=1")


def test_the_number_of_clusters_is_chosen_from_several(mixture):
    task = make_task(mixture("phases.clusters_from=3", "prototypes.cluster_count=[16, 40, 20]"))
    assert isinstance(task, MixtureTask)
    network = task.make_network().train()
    task.begin_step(network, 3)
    assert task._clusters is not None
    assert len(task._clusters.keypoint) == 16


def test_draws_of_prototypes_depend_on_seed_and_step_alone(mixture):
    def bank(seed, epoch):
        task = make_task(mixture("prototypes.assignment=gumbel", "prototypes.momentum=0", f"trainer.seed={seed}"))
        assert isinstance(task, MixtureTask)
        network = task.make_network().train()
        task.begin_step(network, epoch)
        generator = torch.Generator().manual_seed(0)
        network.prototypes.bank.copy_(torch.randn(network.prototypes.bank.shape, generator=generator))
        for value in network.embedding.parameters():
            torch.nn.init.normal_(value, std=0.1, generator=generator)
        task.losses(network, batch)
        return task._bank

    first = make_task(mixture())
    batch = first.samples.collate([first.samples[position] for position in range(6)])
    torch.manual_seed(1)
    one = bank(0, 1.0)
    torch.manual_seed(2)
    assert torch.equal(bank(0, 1.0), one)
    assert not torch.equal(bank(0, 1.25), one)
    assert not torch.equal(bank(1, 1.0), one)


def test_vitpose_plus_plus_learns_everywhere_all_the_time(plus_plus):
    task = make_task(plus_plus("start.heads=framework"))
    network = task.make_network().train()
    assert network.prototypes is None
    before = weights(network)
    optimizer = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    task.begin_step(network, 0)
    values = task.losses(network, task.samples.collate([task.samples[position] for position in range(12)]))
    assert list(values) == [f"heatmap_{name}" for name, *_ in SETS]
    sum(values.values()).backward()
    optimizer.step()
    assert moved(network, before) == {"backbone", "heads"}


def test_a_run_resumed_at_epoch_60_of_100_is_still_in_its_second_phase(
    mixture, folder, tmp_path, losses_of, monkeypatch
):
    """One person of each set, all in one step an epoch; the phases of the published training."""

    def interrupted(self, *arguments, **named):
        step(self, *arguments, **named)
        if self.step == 61:
            raise KeyboardInterrupt

    for name, *_ in SETS:
        content = json.loads((folder / f"{name}.json").read_text())
        one_person = content | {"annotations": content["annotations"][:1]}
        (tmp_path / f"{name}.json").write_text(json.dumps(one_person))
    phases = [f"phases.{name}=50" for name in ("prototypes_until", "heads_from", "cross_type_from")]
    recipe = mixture(
        *phases, "phases.backbone_from=90", "schedule.epochs=100", "trainer.batch=3", "trainer.checkpoint_steps=60",
        "ema.decay=0.9", "start.heads=framework", "inference.crop_size=[32, 32]", "model.backbone.image_size=[32, 32]",
        "prototypes.peak=0", "prototypes.match=100", f"data.root={json.dumps(str(tmp_path))}",
    )  # fmt: skip
    undisturbed, resumed = tmp_path / "undisturbed", tmp_path / "resumed"
    train(recipe, undisturbed, ONE, quiet=True)
    step = PoseTraining.optimizer_step
    monkeypatch.setattr(PoseTraining, "optimizer_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, resumed, ONE, quiet=True)
    monkeypatch.undo()
    train(load_recipe(resumed / "recipe.toml"), resumed, ONE, resume=True, quiet=True)
    losses = losses_of(resumed)
    assert losses == losses_of(undisturbed)
    assert [step for step, line in losses.items() if line["loss/cross_type"] > 0] == list(range(51, 101))
    one, other = (load_file(run / "models/final/model.safetensors") for run in (undisturbed, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["prototypes.bank"].norm(dim=-1).allclose(torch.ones(()), atol=1e-2)
