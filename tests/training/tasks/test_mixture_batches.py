import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from everypose.training.run import make_task, train
from training.mixtures import ONE, SETS, STILL, sources

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
import atexit
import sys
from pathlib import Path

@atexit.register
def show_threads_at_the_very_end():
    print(*(name.read_text() for name in Path("/proc/self/task").glob("*/comm")))

from everypose.training import recipe_files, run

for path in map(Path, sys.argv[1:]):
    run.train(recipe_files.load_recipe(path), path.with_suffix(""), run.Machines(2), quiet=True)
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
        assert "gloo" not in done.stdout, "a thread that meets the interpreter's end takes the process down"
        return [path.with_suffix("") for path in paths]

    return run


@pytest.mark.slow
def test_two_processes_equal_one(mixture, tiny, folder, figures, tmp_path, losses_of, in_two_processes):
    """A network on whole images, and a mixture through all phases: what was frozen and begins to learn is averaged over
    the processes like all the rest. BatchNorm is frozen, because it would see each process's part alone.

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

    images = ["schedule.steps=3", "trainer.freeze_batchnorm=true", "ema.decay=0.9", "optim.lr=1e-2"]
    val = 'data.val=[{annotations="val.json", images="images"}]'

    one = [tmp_path / "mixed", tmp_path / "alike", tmp_path / "images"]
    train(mixture("trainer.batch=8", *mixed), one[0], ONE, quiet=True)
    train(mixture("trainer.batch=4", *alike, tables=tables), one[1], ONE, quiet=True)
    train(tiny("trainer.batch=4", *images), one[2], ONE, quiet=True)
    two = in_two_processes(
        mixture("trainer.batch=4", *mixed, validated=True),
        mixture("trainer.batch=2", *alike, tables=tables),
        tiny(*images, val),
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

    expected, found = losses_of(one[2]), losses_of(two[2])
    assert set(found) == {1, 2, 3}
    for step, line in expected.items():
        assert found[step] == pytest.approx(line, rel=1e-5)

    starts = [make_task(mixture(*alike, tables=tables)).make_network().state_dict()]
    ends = [load_file(run / "models/final/model.safetensors") for run in (one[1], two[1])]
    for name in ("prototypes.bank", "heads.0.final_layer.weight", "backbone.blocks.0.attn.qkv.weight"):
        assert not torch.allclose(ends[0][name], starts[0][name], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ends[1][name], ends[0][name], rtol=1e-3, atol=1e-4)


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
    minimized = [v for n, v in line.items() if n.startswith("loss/") and "per_sample" not in n and n != "loss/total"]
    assert line["loss/total"] == pytest.approx(sum(minimized))


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
