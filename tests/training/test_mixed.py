import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import everypose
from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Boxes
from everypose.models import PoseBHSettings
from everypose.networks import load_model, save_model, select_skeleton
from everypose.posebh.losses import LossSettings
from everypose.posebh.schedule import TRANSFER_TO_3DPW, TRANSFER_TO_INTERHAND, Schedule
from everypose.skeleton import Skeleton
from everypose.topdown.augmentation import VITPOSE, Draws
from everypose.topdown.samples import sample_matrix
from everypose.training.data import StepBatches, training_loader
from everypose.training.mixed import MixedTask
from everypose.training.mixed_samples import shares
from everypose.training.module import PoseTraining
from everypose.training.recipe import Recipe, load_recipe
from everypose.training.run import Machines, make_task, train
from everypose.training.start import make_network
from training.mixtures import SETS, TINY, set_tables, write_sets

ONE = Machines(1)
STILL = "{scale = 0, rotation = 0, flip = 0, half_body = 0, shift = 0}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, figures):
    folder = tmp_path_factory.mktemp("mixture")
    write_sets(figures, folder)
    return folder


@pytest.fixture
def mixture(tmp_path, folder, figures):
    """Makes the tiny recipe on three sets of the stick figures, with overrides."""

    def make(*overrides: str, tables: str | None = None, validated: bool = False) -> Recipe:
        path = tmp_path / "mixture.toml"
        path.write_text(TINY + (set_tables(figures, validated) if tables is None else tables))
        return load_recipe(path, [f"data.root={json.dumps(str(folder))}", *overrides])

    return make


@pytest.fixture
def plus_plus(mixture):
    """The same for ViTPose++: no embeddings, and everything learns all the time."""

    def make(*overrides: str, **kinds) -> Recipe:
        recipe = mixture(*overrides, **kinds)
        table = recipe.model_dump(mode="json", exclude_unset=True)
        table["phases"] = {"heads_from": 0, "backbone_from": 0}
        table["model"]["embedding"] = 0
        return Recipe.model_validate(table)

    return make


def sources(file, figures):
    """A list of one source, as TOML."""
    return f"[{{annotations = {json.dumps(str(file))}, images = {json.dumps(str(figures / 'images'))}}}]"


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
    assert isinstance(task, MixedTask)
    network = task.make_network().train()
    optimiser = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    batch = task.samples.collate([task.samples[position] for position in range(12)])
    found = []
    for epoch in (0, 1.5, 2, 2.9, 3, 4):
        before = weights(network)
        task.begin_step(network, epoch)
        values = task.losses(network, batch)
        optimiser.zero_grad()
        sum(values.values()).backward()
        optimiser.step()
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
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    batch = task.samples.collate([task.samples[position] for position in range(6)])
    task.begin_step(network, 0)
    totals = []
    for _ in range(45):
        found = task.losses(network, batch)
        optimiser.zero_grad()
        sum(found.values()).backward()
        optimiser.step()
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


def test_vitpose_plus_plus_learns_everywhere_all_the_time(plus_plus):
    task = make_task(plus_plus("start.heads=framework"))
    network = task.make_network().train()
    assert network.prototypes is None
    before = weights(network)
    optimiser = torch.optim.Adam(task.parameter_groups(network), lr=1e-3)
    task.begin_step(network, 0)
    values = task.losses(network, task.samples.collate([task.samples[position] for position in range(12)]))
    assert list(values) == [f"heatmap_{name}" for name, *_ in SETS]
    sum(values.values()).backward()
    optimiser.step()
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


# --- batches, processes


def test_accumulated_batches_equal_one(plus_plus, tmp_path, losses_of):
    """BatchNorm is frozen, because it would see each part alone."""
    settings = ["schedule.epochs=0", "schedule.steps=4", "trainer.freeze_batchnorm=true", "start.heads=framework"]
    train(plus_plus("trainer.batch=6", *settings), tmp_path / "one", ONE, quiet=True)
    train(plus_plus("trainer.batch=2", "trainer.accumulate=3", *settings), tmp_path / "three", ONE, quiet=True)
    one, three = losses_of(tmp_path / "one"), losses_of(tmp_path / "three")
    for step, line in one.items():
        assert three[step] == pytest.approx(line, rel=1e-4)
    assert one[4]["loss/total"] != pytest.approx(one[1]["loss/total"], rel=1e-3)


TRAINS_BOTH = """
import sys
from pathlib import Path
from everypose.training import recipe, run

for path in map(Path, sys.argv[1:]):
    run.train(recipe.load_recipe(path), path.with_suffix(""), run.Machines(2), quiet=True)
"""


@pytest.fixture(scope="module")
def in_two_processes(tmp_path_factory):
    """Trains by recipes in two processes, by torchrun and gloo; gives their folders."""

    def run(*recipes):
        folder = tmp_path_factory.mktemp("two")
        (folder / "script.py").write_text(TRAINS_BOTH)
        paths = [folder / f"{number}.toml" for number in range(len(recipes))]
        for path, recipe in zip(paths, recipes, strict=True):
            path.write_text(recipe.to_toml())
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [sys.executable, *launcher, folder / "script.py", *paths]
        done = subprocess.run(command, check=False, timeout=600, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [path.with_suffix("") for path in paths]

    return run


def test_two_processes_equal_one(mixture, folder, figures, tmp_path, losses_of, in_two_processes):
    """Through all phases: what was frozen and begins to learn is averaged over the processes like all the rest.

    The prototypes and their losses are a matter of each process's own people, as in the paper; so they equal those of
    one process where all processes see the same people, and with a mixture only the heatmaps' losses are compared.
    """
    phases = [
        "phases.prototypes_until=1",
        "phases.heads_from=1",
        "phases.backbone_from=2",
        "phases.cross_type_from=none",
    ]
    common = [*phases, "trainer.freeze_batchnorm=true", "start.heads=framework", "optim.lr=3e-3"]
    mixed = [*common, "schedule.epochs=3"]
    content = json.loads((folder / "coco.json").read_text())
    copies = [content["annotations"][0] | {"id": number} for number in range(1, 9)]
    (tmp_path / "copies.json").write_text(json.dumps(content | {"annotations": copies}))
    source = sources(tmp_path / "copies.json", figures)
    tables = f'[[data.sets]]\nname = "copies"\ntrain = {source}\nconvention = "udp"\naugmentation = {STILL}\n'
    alike = [*common, "schedule.epochs=3", "prototypes.momentum=0.5", "prototypes.prototype=1"]

    one = [tmp_path / "mixed", tmp_path / "alike"]
    train(mixture("trainer.batch=8", *mixed), one[0], ONE, quiet=True)
    train(mixture("trainer.batch=4", *alike, tables=tables), one[1], ONE, quiet=True)
    two = in_two_processes(
        mixture("trainer.batch=4", *mixed, validated=True), mixture("trainer.batch=2", *alike, tables=tables)
    )

    heatmaps = [f"loss/heatmap_{name}" for name, *_ in SETS]
    expected, found = losses_of(one[0]), losses_of(two[0])
    assert set(found) == set(expected) == set(range(1, 14))
    for step, line in expected.items():
        assert [found[step][name] for name in heatmaps] == pytest.approx([line[name] for name in heatmaps], rel=1e-4)
    expected, found = losses_of(one[1]), losses_of(two[1])
    assert set(found) == set(expected) == set(range(1, 7))
    for step, line in expected.items():
        assert found[step] == pytest.approx(line, rel=1e-4)

    starts = [make_network(make_task(mixture(*alike, tables=tables))._recipe, 17).state_dict()]
    ends = [load_file(run / "models/final/model.safetensors") for run in (one[1], two[1])]
    for name in ("prototypes.bank", "heads.0.final_layer.weight", "backbone.blocks.0.attn.qkv.weight"):
        assert not torch.allclose(ends[0][name], starts[0][name], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ends[1][name], ends[0][name], rtol=1e-3, atol=1e-4)


# --- samples


def test_an_epoch_has_every_person_of_every_set_once(mixture):
    samples = make_task(mixture()).samples
    people = len(samples) // 3
    everyone = sorted((dataset, person) for dataset in range(3) for person in range(people))
    epochs = [[samples.index(epoch * len(samples) + place) for place in range(len(samples))] for epoch in range(3)]
    assert all(sorted(order) == everyone for order in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0][:people] != sorted(epochs[0][:people])


def test_a_weight_changes_how_often_a_set_is_seen_and_misses_nobody(mixture, figures):
    tables = set_tables(figures).replace('name = "mpii"', 'name = "mpii"\nweight = 2')
    samples = make_task(mixture(tables=tables)).samples
    assert shares((10, 20, 30), (1, 1, 1)) == (10, 20, 30)
    assert shares((10, 20, 30), (4, 2, 0)) == (30, 30, 1)
    assert samples.shares == (8, 8, 16)
    people = [samples.index(position) for position in range(11 * len(samples))]
    counts = {one: people.count(one) for one in people}
    assert {one: count for one, count in counts.items() if one[0] == 0} == {(0, person): 8 for person in range(11)}
    assert {one: count for one, count in counts.items() if one[0] == 2} == {(2, person): 16 for person in range(11)}


def test_a_batch_has_each_sets_crops_in_its_own_convention(mixture):
    task = make_task(mixture())
    batch = task.samples.collate([task.samples[position] for position in range(12)])
    assert batch.crops.images.shape == (12, 64, 48, 3)
    assert batch.crops.keypoints.shape == (12, 1, 17, 3), "the largest skeleton's, whoever is in the batch"
    assert torch.cat(batch.rows).sort().values.tolist() == list(range(12))
    for dataset, (rows, (_, skeleton, convention)) in enumerate(zip(batch.rows, SETS, strict=True)):
        assert (batch.crops.dataset[rows] == dataset).all()
        assert (batch.crops.udp[rows] == (convention == "udp")).all()
        assert not batch.crops.keypoints[rows, :, len(Skeleton.named(skeleton)) :].any()
    alone = task.samples.collate([task.samples[int(batch.rows[1][0])]])
    assert [len(rows) for rows in alone.rows] == [0, 1, 0]
    assert alone.crops.keypoints.shape == (1, 1, 17, 3)
    moved_batch = batch.to("cpu")
    assert moved_batch.keys == batch.keys
    assert all(torch.equal(one, other) for one, other in zip(moved_batch.rows, batch.rows, strict=True))


def test_a_position_is_always_the_same_crop_and_a_persons_shift_lasts(mixture, figures):
    only_shift = "{scale = 0, rotation = 0, flip = 0, half_body = 0, shift_probability = 1}"
    tables = set_tables(figures).replace("convention", f"augmentation = {only_shift}\nconvention")
    samples = make_task(mixture(tables=tables)).samples
    still = make_task(mixture(tables=tables.replace("shift_probability = 1", "shift = 0"))).samples
    first = samples[3]
    again = next(p for p in range(len(samples), 2 * len(samples)) if samples.index(p) == samples.index(3))
    assert np.array_equal(samples[again].crop, first.crop)
    assert not np.array_equal(still[3].crop, first.crop)
    random = make_task(mixture()).samples
    assert np.array_equal(random[3].crop, random[3].crop)
    assert not np.array_equal(random[again].crop, random[3].crop)


def test_the_number_of_workers_changes_nothing(mixture):
    samples = make_task(mixture()).samples
    loaders = [training_loader(samples, StepBatches(1, 3, 5), workers, pin=False) for workers in (0, 2)]
    for alone, together in zip(*loaders, strict=True):
        assert alone.keys == together.keys
        assert torch.equal(alone.crops.images, together.crops.images)
        assert all(torch.equal(one, other) for one, other in zip(alone.rows, together.rows, strict=True))


def test_a_skeleton_without_an_upper_body_has_no_half_bodies(mixture, folder, figures, tmp_path):
    content = json.loads((folder / "coco.json").read_text())
    text = '[[keypoints]]\nname = "{}"\nsigma = 0.1\n'
    (tmp_path / "plain.toml").write_text("".join(text.format(f"point_{n}") for n in range(17)))
    del content["categories"][0]["keypoints"]
    (tmp_path / "plain.json").write_text(json.dumps(content))
    source = sources(tmp_path / "plain.json", figures)
    skeleton = json.dumps(str(tmp_path / "plain.toml"))
    tables = f'[[data.sets]]\nname = "plain"\ntrain = {source}\nskeleton = {skeleton}\naugmentation = {{half_body = 1}}'
    task = make_task(mixture(tables=tables))
    assert task.samples[0].keypoints.shape == (1, 17, 3)
    assert task.config.read_skeleton().keypoints[0] == "point_0"


# --- MPII's own files


@pytest.fixture
def mpii(tmp_path, folder, figures):
    """A set in MPII's own form: the stick figures with the square of their height."""
    content = json.loads((folder / "mpii.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    people = [
        {
            "image": names[entry["image_id"]],
            "center": [entry["bbox"][0] + entry["bbox"][2] / 2 + 1, entry["bbox"][1] + entry["bbox"][3] / 2 + 1],
            "scale": entry["bbox"][3] / 200,
            "joints": (np.reshape(entry["keypoints"], (-1, 3))[:, :2] + 1).tolist(),
            "joints_vis": (np.reshape(entry["keypoints"], (-1, 3))[:, 2] > 0).astype(int).tolist(),
        }
        for entry in content["annotations"]
    ]
    (tmp_path / "mpii.json").write_text(json.dumps(people))
    source = sources(tmp_path / "mpii.json", figures)
    return (
        f'[[data.sets]]\nname = "mpii"\ntrain = {source}\nval = {source}\nskeleton = "mpii"\nconvention = "udp"\n'
        f'crop = "mpii"\naugmentation = {STILL}\n'
    )


def test_mpii_is_read_as_published_and_found_in_the_crops_that_were_learned(mixture, mpii, tmp_path):
    task = make_task(mixture(tables=mpii))
    scene = task.sets[0].scenes[0]
    geometry = task.samples._sets[0].geometry
    assert geometry.rule == "mpii"
    trained = sample_matrix(scene, 0, task.samples._sets[0].skeleton, geometry, Draws())
    network = task.make_network()
    estimator = task.validators[0]._estimator(network, "cpu")
    cut = estimator._cut(estimator.prepare(scene.path))
    np.testing.assert_allclose(cut.matrices[0], trained)
    np.testing.assert_array_equal(cut.boxes.boxes, scene.boxes)
    assert task.validators[0].score(task.validators[0].predict(network, torch.device("cpu")).results).ap >= -1
    save_model(network, task.config, tmp_path / "model")
    square = Boxes(scene.boxes[:1], np.ones(1))
    loaded = everypose.load(tmp_path / "model", detector=lambda _: square, skeleton="mpii")
    np.testing.assert_allclose(loaded._cut(loaded.prepare(scene.path)).matrices[0], trained)
    wrong = mpii.replace('skeleton = "mpii"', 'skeleton = "coco"')
    with pytest.raises(EveryposeError, match=r"mpii\.json is a list in MPII's form, whose keypoints are not"):
        make_task(mixture(tables=wrong))


# --- validation


def test_every_set_is_measured_by_its_own_head_and_their_mean_decides(mixture, tmp_path):
    outcome = train(mixture("schedule.epochs=1", validated=True), tmp_path / "run", ONE, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    measured = {name: value for line in lines for name, value in line.items() if name.endswith("/AP")}
    assert set(measured) == {f"val-{name}/AP" for name, *_ in SETS}
    assert outcome.last_ap == pytest.approx(np.mean(list(measured.values())))
    network, config = load_model(outcome.model)
    assert [one.name for one in config.network.datasets] == [name for name, *_ in SETS]
    task = make_task(mixture(validated=True))
    for validator, (name, skeleton, convention) in zip(task.validators, SETS, strict=True):
        estimator = validator._estimator(network, "cpu")
        assert estimator.skeleton.name == skeleton
        assert estimator.config.on_crops.convention == convention
        assert estimator.config.on_crops.decoder == ("udp" if convention == "udp" else "quarter")
        assert validator.suffix == f"-{name}"


# --- what is logged


def test_a_sets_loss_for_each_of_its_samples_does_not_depend_on_its_share(mixture, figures, tmp_path, losses_of):
    """Two sets of the same eleven people, one of which is seen three times as often, while nothing is learned yet."""
    source = sources(figures / "train.json", figures)
    table = '[[data.sets]]\nname = "{}"\ntrain = {}\nskeleton = "coco"\nweight = {}\naugmentation = {}\n'
    tables = "".join(table.format(name, source, weight, STILL) for name, weight in (("rare", 1), ("often", 3)))
    # Of the 22 places of an epoch they have 6 and 16, so after eleven epochs both have shown everybody equally often.
    settings = ["schedule.epochs=11", "trainer.batch=11", "trainer.log_steps=22", "optim.lr=1e-9"]
    train(mixture(*settings, tables=tables), tmp_path / "run", ONE, quiet=True)
    line = losses_of(tmp_path / "run")[22]
    rare, often = (line[f"loss/heatmap_{name}_per_sample"] for name in ("rare", "often"))
    assert rare == pytest.approx(often, rel=1e-2)
    shares = [line[f"loss/heatmap_{name}"] for name in ("rare", "often")]
    assert shares == pytest.approx([rare * 6 / 22, often * 16 / 22])
    minimised = [v for n, v in line.items() if n.startswith("loss/") and "per_sample" not in n and n != "loss/total"]
    assert line["loss/total"] == pytest.approx(sum(minimised))


def test_a_set_without_samples_since_the_last_line_has_no_loss_for_each_of_them(mixture, tmp_path, losses_of):
    train(mixture("schedule.epochs=1", "trainer.batch=1", "start.heads=framework"), tmp_path / "run", ONE, quiet=True)
    for line in losses_of(tmp_path / "run").values():
        (shown,) = [name for name in line if name.endswith("_per_sample")]
        assert line[shown] == line[shown.removesuffix("_per_sample")] > 0
        assert sum(line[f"loss/heatmap_{name}"] > 0 for name, *_ in SETS) == 1


def test_the_rate_that_is_logged_is_the_recipes_and_not_that_of_one_layer(mixture, tmp_path, losses_of):
    recipe = mixture("schedule.epochs=0", "schedule.steps=4", "schedule.warmup_start=0", "optim.layer_decay=0.1")
    train(recipe, tmp_path / "run", ONE, quiet=True)
    assert [line["lr"] for line in losses_of(tmp_path / "run").values()] == pytest.approx([0, 5e-4, 1e-3, 1e-3])


# --- weights to start from


def test_posebh_starts_from_vitpose_plus_plus(mixture, plus_plus, tmp_path):
    train(plus_plus("schedule.epochs=0", "schedule.steps=1", "trainer.seed=5"), tmp_path / "run", ONE, quiet=True)
    saved = load_file(tmp_path / "run/models/final/model.safetensors")
    start = f"start.weights={json.dumps(str(tmp_path / 'run/models/final'))}"
    new = 'start.reinitialise=["embedding.", "prototypes."]'
    network = make_task(mixture(start, new)).make_network().state_dict()
    assert all(torch.equal(network[name], value) for name, value in saved.items())
    assert {n.split(".")[0] for n in network if n not in saved} == {"embedding", "prototypes"}
    with pytest.raises(EveryposeError, match=r"does not fit .*start\.reinitialise"):
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
        (["start.transfer_like=fish"], "was not made for a data set named 'fish'"),
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


# --- what cannot be used


def refusal(make, *overrides, **kinds):
    with pytest.raises(EveryposeError) as caught:
        make_task(make(*overrides, **kinds))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mixture_that_cannot_be_used_is_one_line(mixture, folder, figures, tmp_path):
    tables = set_tables(figures)
    assert "two sets are named coco: give each its own name" in refusal(
        mixture, tables=tables.replace('name = "mpii"', 'name = "coco"')
    )
    assert "cannot be named all" in refusal(mixture, tables=tables.replace('name = "mpii"', 'name = "all"'))
    assert "list them as [[data.sets]]" in refusal(mixture, tables="")
    assert "model.datasets is made of data.sets" in refusal(mixture, "model.datasets=[{name='a', skeleton={}}]")
    assert "data.train_split is nothing that the family posebh reads" in refusal(mixture, "data.train_split=val")
    assert "there is no field data.sets.0.convnetion" in refusal(
        mixture, tables=tables.replace("convention", "convnetion")
    )
    assert "crops is nothing that the family posebh reads" in refusal(mixture, "crops.sigma=3")
    with pytest.raises(UsageError, match=r"nothing learns from epoch 0 on: give phases\.heads_from=0"):
        mixture("model.embedding=0")
    with pytest.raises(UsageError, match=r"prototypes is nothing that the family posebh reads"):
        mixture("model.embedding=0", "phases.heads_from=0", "prototypes.peak=0")
    assert "inference.crop is nothing that the family posebh reads" in refusal(mixture, "inference.crop=mpii")
    with pytest.raises(UsageError, match=r"data\.sets is nothing that the family boir reads"):
        load_recipe("boir-small", ['data.sets=[{name="a", train=[{annotations="a", images="b"}]}]'])

    content = json.loads((folder / "mpii.json").read_text())

    def with_mpii(changed, skeleton=True):
        (tmp_path / "changed.json").write_text(json.dumps(content | changed))
        text = tables.replace('"mpii.json"', json.dumps(str(tmp_path / "changed.json")))
        return text if skeleton else text.replace('skeleton = "mpii"\n', "")

    nobody = refusal(mixture, tables=with_mpii({"annotations": []}))
    assert nobody.startswith("the set mpii (")
    assert nobody.endswith("there is nothing to learn from, leave it out")
    assert "does not say what its keypoints are" in refusal(
        mixture, tables=with_mpii({"categories": [{"id": 1, "name": "person", "keypoints": []}]}, skeleton=False)
    )
    assert "cannot read" in refusal(mixture, tables=tables.replace('"mpii.json"', '"nowhere.json"'))


def test_sigmas_are_needed_for_validation_and_suppression_only(mixture, folder, figures, tmp_path):
    content = json.loads((folder / "coco.json").read_text())
    fish = [{"id": 1, "name": "fish", "keypoints": ["head", "tail"], "skeleton": []}]
    swimming = [entry | {"keypoints": entry["keypoints"][:6]} for entry in content["annotations"]]
    (tmp_path / "fish.json").write_text(json.dumps(content | {"categories": fish, "annotations": swimming}))
    source = sources(tmp_path / "fish.json", figures)
    tables = set_tables(figures) + f'[[data.sets]]\nname = "fish"\ntrain = {source}\n'
    suppressed = refusal(mixture, tables=tables)
    assert suppressed.startswith("the set fish needs the sigmas of its skeleton 'fish' to leave out people found twice")
    assert suppressed.endswith("or give --set inference.nms=none")
    task = make_task(mixture("inference.nms=none", tables=tables))
    assert len(task.samples) == 44
    validated = refusal(mixture, "inference.nms=none", tables=tables + f"val = {source}\n")
    assert "to be validated by AP" in validated
    assert validated.endswith("or leave out its val")


CHANGES = {
    "one name for two sets": ('name = "mpii"', 'name = "coco"', 2, "two sets are named coco: give each its own name"),
    "a set without keypoints": ('"mpii.json"', '"silent.json"', 1, "does not say what its keypoints are"),
    "a skeleton without sigmas": ('"mpii.json"', '"fish.json"', 1, "needs the sigmas of its skeleton 'fish'"),
    "an empty set": ('"mpii.json"', '"empty.json"', 1, "there is nothing to learn from, leave it out"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_command_says_in_one_line_what_is_wrong_with_a_mixture(everypose, folder, figures, tmp_path, change):
    before, after, code, message = CHANGES[change]
    content = json.loads((folder / "mpii.json").read_text())
    fish = [{"id": 1, "name": "fish", "keypoints": ["head", "tail"], "skeleton": []}]
    swimming = [entry | {"keypoints": entry["keypoints"][:6]} for entry in content["annotations"]]
    (folder / "silent.json").write_text(json.dumps(content | {"categories": [{"id": 1, "name": "person"}]}))
    (folder / "fish.json").write_text(json.dumps(content | {"categories": fish, "annotations": swimming}))
    (folder / "empty.json").write_text(json.dumps(content | {"annotations": []}))
    tables = set_tables(figures).replace('skeleton = "mpii"\n', "").replace(before, after)
    (tmp_path / "mixture.toml").write_text(TINY + tables)
    done = everypose("train", tmp_path / "mixture.toml", "--data", folder, "--out", tmp_path / "run", "--quiet")
    assert done.code == code
    assert message in done.err
    assert done.err.startswith("everypose: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run/recipe.toml").exists()


def test_the_command_refuses_a_model_with_another_number_of_experts(everypose, mixture, folder, figures, tmp_path):
    task = make_task(mixture())
    save_model(task.make_network(), task.config, tmp_path / "three")
    two = "".join("[[data.sets]]" + table for table in set_tables(figures).split("[[data.sets]]")[1:3])
    (tmp_path / "two.toml").write_text(TINY + two)
    start = f"start.weights={json.dumps(str(tmp_path / 'three'))}"
    arguments = ["--data", folder, "--out", tmp_path / "run", "--quiet", "--set", start]
    done = everypose("train", tmp_path / "two.toml", *arguments)
    assert done.code == 2
    assert "three has 3 data sets (coco, crowdpose, mpii), the recipe 2 (coco, crowdpose)" in done.err
    assert done.err.count("\n") == 1


def test_a_data_set_without_keypoints_makes_no_network(mixture):
    task = make_task(mixture())
    first = task.config.network.datasets[0]
    empty = first.model_copy(update={"skeleton": first.skeleton | {"keypoints": []}})
    settings = task.config.network.model_copy(update={"datasets": (empty, *task.config.network.datasets[1:])})
    recipe = task._recipe.model_copy(update={"model": settings})
    with pytest.raises(UsageError, match="the data set coco has no keypoints"):
        make_network(recipe, 17)


# --- the published experiments

NAMES = ("coco", "aic", "mpii", "ap10k", "apt36k", "coco_wholebody")
SIZES = {
    "s": (384, 12, 12, 0.1, 192, 0.8), "b": (768, 12, 12, 0.3, 192, 0.75),
    "l": (1024, 24, 16, 0.5, 256, 0.8), "h": (1280, 32, 16, 0.55, 320, 0.8),
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "size"), [*(("vitpose-plus", size) for size in "sblh"), ("posebh", "b"), ("posebh", "h")]
)
def test_every_published_mixture_in_every_number(family, size):
    recipe = load_recipe(f"{family}-{size}")
    width, depth, heads, drop_path, part, decay = SIZES[size]
    backbone = recipe.model.backbone
    assert (backbone.width, backbone.depth, backbone.heads) == (width, depth, heads)
    assert (backbone.drop_path, backbone.expert_part, backbone.image_size) == (drop_path, part, (192, 256))
    posebh = family == "posebh"
    assert recipe.model == PoseBHSettings(backbone=backbone, embedding=64 if posebh else 0)
    assert tuple(own.name for own in recipe.data.sets) == NAMES
    for own in recipe.data.sets:
        assert own.skeleton == own.name
        assert own.convention == ("udp" if own.name in ("coco", "mpii") else "classic")
        assert own.crop == ("mpii" if own.name == "mpii" else "box")
        assert own.weight == 1
        mpii = replace(VITPOSE, half_body=0, shift_probability=0)
        assert own.augmentation.settings() == (mpii if own.name == "mpii" else VITPOSE)
        assert len(own.val) == 1
    cut = recipe.inference
    assert (cut.crop_size, cut.padding, cut.nms) == ((192, 256), 1.25, 0.9)
    optim, plan = recipe.optim, recipe.schedule
    assert (optim.name, optim.lr, optim.weight_decay, optim.clip, optim.layer_decay) == ("adamw", 1e-3, 0.1, 1, decay)
    assert (plan.kind, plan.gamma, plan.warmup_steps) == ("multistep", 0.1, 500)
    assert plan.warmup_start == pytest.approx(0.001 * optim.lr)
    assert (plan.epochs, plan.milestones) == ((100, (50, 90)) if posebh else (210, (170, 200)))
    assert recipe.trainer.batch == 128
    if not posebh:
        assert (recipe.phases.heads_from, recipe.phases.backbone_from) == (0, 0)
    else:
        assert recipe.phases.settings() == Schedule()
        assert recipe.prototypes.settings() == LossSettings()
        assert recipe.start.weights == f"vitpose-plus-{size}"
        assert recipe.start.reinitialise == ("embedding.", "prototypes.")


@pytest.mark.parametrize("to", ["3dpw", "interhand"])
def test_both_published_transfers_in_every_number(to):
    recipe = load_recipe(f"posebh-b-{to}")
    hands = to == "interhand"
    assert recipe.phases.settings() == (TRANSFER_TO_INTERHAND if hands else TRANSFER_TO_3DPW)
    assert recipe.prototypes.settings() == LossSettings(threshold=0.2, pixel_weight="equal", prototype_heatmap=1.25e-5)
    assert (recipe.start.weights, recipe.start.transfer_like) == ("posebh-b", "coco")
    assert (recipe.model.backbone.width, recipe.model.backbone.expert_part) == (768, 0)
    optim, plan = recipe.optim, recipe.schedule
    assert (optim.name, optim.weight_decay, optim.clip, optim.layer_decay) == ("adam", 0, 0, 0)
    assert optim.lr == (5e-4 if hands else 1e-4)
    assert (plan.epochs, plan.milestones, plan.warmup_steps) == ((60, (35, 55), 500) if hands else (30, (10, 15), 500))
    assert recipe.trainer.batch == (96 if hands else 64)
    assert (recipe.inference.padding, recipe.inference.nms) == ((1.5, None) if hands else (1.25, 0.9))
    (own,) = recipe.data.sets
    assert (own.skeleton, own.convention) == ("interhand2d" if hands else "pw3d", "classic")
    assert own.augmentation.settings() == (replace(VITPOSE, scale=0.3, rotation=90) if hands else VITPOSE)


def test_the_plain_vitpose_in_every_number():
    recipe = load_recipe("vitpose-b-coco")
    assert (recipe.model.family, recipe.model.backbone.width, recipe.model.backbone.experts) == ("vitpose", 768, 0)
    assert (recipe.inference.convention, recipe.inference.decoder) == ("udp", "udp")
    assert recipe.crops.augmentation.settings() == VITPOSE
    assert (recipe.optim.layer_decay, recipe.optim.weight_decay, recipe.optim.clip) == (0.75, 0.1, 1)
    assert (recipe.schedule.epochs, recipe.schedule.milestones) == (210, (170, 200))


def test_the_small_recipe_is_for_small_machines():
    recipe = load_recipe("posebh-small")
    assert (recipe.model.backbone.width, recipe.model.backbone.depth) == (96, 4)
    assert recipe.inference.crop_size == recipe.model.backbone.image_size == (96, 128)
    assert [own.name for own in recipe.data.sets] == ["coco", "crowdpose", "mpii"]
    assert recipe.start.heads == "framework"
