import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from everypose.data.scenes import SceneSet
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton
from everypose.training.checkpoints import Checkpoint
from everypose.training.datasets import require_same_skeleton
from everypose.training.guard import GradientGuard
from everypose.training.initial_weights import make_network
from everypose.training.lightning_module import PoseTraining
from everypose.training.run import Machines, precision_of, train
from everypose.training.run_logs import RunLogs
from everypose.training.validation import Validator

ONE = Machines(1)
KILLED_AFTER_STEP_5 = """
import os, signal, sys
from pathlib import Path
from everypose.training import recipe_files, run
from everypose.training import lightning_module as module

def step_and_die(self, *arguments, **named):
    step(self, *arguments, **named)
    if self.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

step = module.PoseTraining.optimizer_step
module.PoseTraining.optimizer_step = step_and_die
run.train(recipe_files.load_recipe(sys.argv[1]), Path(sys.argv[2]), run.Machines(1), quiet=True)
"""


def test_a_run_leaves_its_folder_complete(tiny, tmp_path, losses_of):
    val = 'data.val=[{annotations="val.json", images="images"}]'
    recipe = tiny("schedule.steps=4", val, "ema.decay=0.9", "validation.pictures=1")
    outcome = train(recipe, tmp_path / "run", ONE, quiet=True)
    assert outcome.model == tmp_path / "run/models/best"
    assert -1 <= outcome.ap <= 1
    assert "AP" in str(outcome)
    files = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {
        "recipe.toml", "environment.json", "metrics.jsonl", "checkpoints/last.ckpt",
        "models/best/config.json", "models/final/model.safetensors",
    } <= files  # fmt: skip
    board = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert board.Tags()["images"] == ["predictions/000001.png"]
    picture = board.Images("predictions/000001.png")[0]
    assert (picture.step, picture.width, picture.height) == (4, 128, 128)
    assert [event.step for event in board.Scalars("loss/total")] == [1, 2, 3, 4]
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["versions"]["torch"]
    assert len(environment["data"]) == 2
    assert set(losses_of(tmp_path / "run")) == {1, 2, 3, 4}
    with pytest.raises(UsageError, match="holds a run already"):
        train(recipe, tmp_path / "run", ONE, quiet=True)
    with pytest.raises(UsageError, match="is finished"):
        train(recipe, tmp_path / "run", ONE, resume=True, quiet=True)


def test_a_killed_run_goes_on_with_the_losses_of_an_undisturbed_one(tiny, tmp_path, losses_of):
    """SIGKILL in the middle of an epoch (5 images, 2 a step, a checkpoint every 3 steps)."""
    settings = ["schedule.steps=9", "trainer.checkpoint_steps=3", "ema.decay=0.9", "data.workers=1"]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    train(tiny(*settings), undisturbed, ONE, quiet=True)
    recipe = tmp_path / "resolved.toml"
    recipe.write_text(tiny(*settings).to_toml())
    died = subprocess.run([sys.executable, "-c", KILLED_AFTER_STEP_5, recipe, killed], check=False, timeout=600)
    assert died.returncode == -signal.SIGKILL
    assert Checkpoint.load(killed / "checkpoints/last.ckpt").step == 3
    with (killed / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 5, "loss/to')  # half a line, as a killed process may leave it
    train(tiny(*settings), killed, ONE, resume=True, quiet=True)
    assert losses_of(killed) == losses_of(undisturbed)
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 9
    one, other = (load_file(run / "models/final/model.safetensors") for run in (undisturbed, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (killed / "environment-3.json").exists()


def test_a_request_to_save_that_comes_during_validation_is_answered(tiny, tmp_path, monkeypatch):
    """SIGUSR1 at the validation after step 1 of 2; the last step validates, too, and writes its own checkpoint."""
    folder, saved = tmp_path / "run", []
    estimator, save = Validator.estimator, Checkpoint.save

    def signaled(*arguments):
        signal.raise_signal(signal.SIGUSR1)
        return estimator(*arguments)

    monkeypatch.setattr(Validator, "estimator", signaled)
    monkeypatch.setattr(Checkpoint, "save", lambda own, path: saved.append(own.step) or save(own, path))
    validation = ['data.val=[{annotations="val.json", images="images"}]', "validation.every_epochs=1"]
    train(tiny(*validation, "schedule.steps=2", "trainer.batch=5"), folder, ONE, quiet=True)
    assert saved == [1, 2]


def test_resuming_refuses_another_stream_of_samples(tiny, tmp_path):
    train(tiny("schedule.steps=2"), tmp_path / "run", ONE, quiet=True)
    with pytest.raises(UsageError, match="images a step"):
        train(tiny("trainer.batch=3"), tmp_path / "run", ONE, resume=True, quiet=True)
    twice = 'data.extra=[{annotations="train.json", images="images"}]'
    with pytest.raises(UsageError, match="trained on 5 images"):
        train(tiny(twice), tmp_path / "run", ONE, resume=True, quiet=True)
    with pytest.raises(EveryposeError, match="nothing to resume"):
        train(tiny(), tmp_path / "empty", ONE, resume=True, quiet=True)


def test_accumulated_batches_count_as_one_step(tiny, tmp_path, losses_of):
    train(tiny("trainer.batch=4", "schedule.steps=3"), tmp_path / "large", ONE, quiet=True)
    train(tiny("trainer.accumulate=2", "schedule.steps=3"), tmp_path / "halves", ONE, quiet=True)
    large, halves = losses_of(tmp_path / "large"), losses_of(tmp_path / "halves")
    assert [(line["lr"], line["epoch"]) for line in large.values()] == [
        (line["lr"], line["epoch"]) for line in halves.values()
    ]


FAILS_IN_RANK_1 = """
import os
from everypose.cli.main import main
from everypose.errors import EveryposeError
from everypose.training import lightning_module as module

def step_or_fail(self, *arguments):
    if self.step == 2 and os.environ.get("LOCAL_RANK") == "1":
        raise EveryposeError("a broken sample")
    return step(self, *arguments)

step = module.PoseTraining.training_step
module.PoseTraining.training_step = step_or_fail
main()
"""


@pytest.mark.slow
def test_a_failure_in_one_of_the_processes_that_we_start_ends_all_in_a_line_each(tiny, tmp_path):
    """By ``--devices 2``: Lightning starts the second process by the same command."""
    (tmp_path / "failing.py").write_text(FAILS_IN_RANK_1)
    recipe = tmp_path / "resolved.toml"
    recipe.write_text(tiny().to_toml())
    command = [sys.executable, tmp_path / "failing.py", "train", recipe, "-o", tmp_path / "run", "--devices", "2", "-q"]
    done = subprocess.run(command, check=False, timeout=600, capture_output=True, text=True)
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "everypose: a broken sample",
        "everypose: training stopped, because another of its processes did: its own message says why",
    ]
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2


def test_ctrl_c_says_how_to_go_on(tiny, tmp_path, monkeypatch, capsys):
    def interrupted(self, *arguments, **named):
        step(self, *arguments, **named)
        if self.step == 3:
            raise KeyboardInterrupt

    step = PoseTraining.optimizer_step
    monkeypatch.setattr(PoseTraining, "optimizer_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("trainer.checkpoint_steps=2"), tmp_path / "run", ONE)
    assert f"stopped; go on with --resume {tmp_path / 'run'}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    train(tiny("trainer.checkpoint_steps=2"), tmp_path / "run", ONE, resume=True, quiet=True)
    assert Checkpoint.load(tmp_path / "run/checkpoints/last.ckpt").step == 8


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        (RunLogs, "write", r"^training stopped: cannot write into .*run: No space left on device$"),
        (os, "fsync", r"^cannot write .*recipe\.toml: No space left on device$"),
    ],
    ids=["log", "files"],
)
def test_a_full_disk_is_one_line(tiny, tmp_path, monkeypatch, place, name, expected):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, name, full)
    with pytest.raises(EveryposeError, match=expected):
        train(tiny(), tmp_path / "run", ONE, quiet=True)


def test_a_folder_that_cannot_be_written_is_one_line(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryposeError, match=r"^cannot write .*file/recipe\.toml: File exists$"):
        train(tiny(), tmp_path / "file", ONE, quiet=True)


def test_validation_needs_the_skeleton_of_the_training_set(tiny, tmp_path, figures):
    content = json.loads((figures / "train.json").read_text())
    content["categories"][0]["keypoints"] = list(Skeleton.named("crowdpose").keypoints)
    for annotation in content["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][:42]
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    path = json.dumps(str(tmp_path / "crowd.json"))
    recipe = tiny(f'data.val=[{{annotations={path}, images="images"}}]')
    message = r"crowd\.json has the keypoints of .*, .*train\.json those of .* share one skeleton"
    with pytest.raises(EveryposeError, match=message):
        train(recipe, tmp_path / "run", ONE, quiet=True)


def test_a_training_set_without_annotation_file_is_named_in_the_message():
    with pytest.raises(EveryposeError, match=r"^val\.json has the keypoints of mpii, photos\.tar those of coco: sets"):
        require_same_skeleton(SceneSet([], Skeleton.named("coco"), "photos.tar"), "val.json", Skeleton.named("mpii"))


def test_a_step_that_bfloat16_spoils_is_left_out_and_counted(tiny, tmp_path, losses_of, monkeypatch):
    check = GradientGuard.check

    def spoil_the_second(guard, parameters, step):
        if step == 2:
            parameters[0].grad.fill_(torch.nan)
        check(guard, parameters, step)

    monkeypatch.setattr(GradientGuard, "check", spoil_the_second)
    recipe = tiny("schedule.steps=3", "trainer.log_steps=1", "trainer.precision=bf16-mixed")
    train(recipe, tmp_path / "run", ONE, quiet=True)
    assert [losses.get("steps_left_out", 0) for losses in losses_of(tmp_path / "run").values()] == [0, 1, 1]
    end = load_file(tmp_path / "run/models/final/model.safetensors")
    assert all(value.isfinite().all() for value in end.values())


def test_a_loss_that_is_not_finite_stops_the_run_and_names_samples_and_loss(tiny, tmp_path):
    recipe = tiny("optim.lr=1e30", "schedule.warmup_epochs=0", "optim.clip=0", "trainer.checkpoint_steps=1")
    with pytest.raises(EveryposeError, match=r"at step \d+: .*(heatmap|bbox).* is (nan|inf).*00000\d\.png") as caught:
        train(recipe, tmp_path / "run", ONE, quiet=True)
    assert "\n" not in str(caught.value)
    last = tmp_path / "run/checkpoints/last.ckpt"
    if last.exists():
        assert all(value.isfinite().all() for value in Checkpoint.load(last).network.values())


def test_an_image_that_cannot_be_read_is_one_line(tiny, tmp_path, figures):
    broken = tmp_path / "data"
    shutil.copytree(figures, broken)
    (broken / "images/000003.png").write_bytes(b"")
    for workers in (0, 1):
        recipe = tiny(f"data.root={json.dumps(str(broken))}", f"data.workers={workers}")
        with pytest.raises(EveryposeError, match=r"000003\.png") as caught:
            train(recipe, tmp_path / f"run{workers}", ONE, quiet=True)
        assert "\n" not in str(caught.value)


def test_weights_to_start_from(tiny, tmp_path):
    train(tiny("schedule.steps=2"), tmp_path / "run", ONE, quiet=True)
    model = tmp_path / "run/models/final"
    saved = load_file(model / "model.safetensors")
    start = f"start.weights={json.dumps(str(model))}"
    recipe = tiny(start, 'start.reinitialize=["instance_head.heatmap", "auxiliary.buk.output"]')
    network = make_network(recipe, 17).state_dict()
    differing = {name for name in saved if not torch.equal(saved[name], network[name])}
    assert {name.rpartition(".")[0] for name in differing} == {"instance_head.heatmap", "auxiliary.buk.output"}
    with pytest.raises(EveryposeError, match=r"does not fit .*start\.reinitialize"):
        make_network(tiny(start), 14)
    with pytest.raises(UsageError, match="no parameter that begins with head"):
        make_network(tiny(start, 'start.reinitialize=["head."]'), 17)
    backbone = {name.removeprefix("backbone."): value for name, value in saved.items() if name.startswith("backbone.")}
    torch.save(backbone | {"fc.weight": torch.zeros(3)}, tmp_path / "imagenet.pth")
    network = make_network(tiny(f"start.backbone={json.dumps(str(tmp_path / 'imagenet.pth'))}"), 17).state_dict()
    assert all(torch.equal(network["backbone." + name], value) for name, value in backbone.items())
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(EveryposeError, match="no tensor that fits the backbone"):
        make_network(tiny(f"start.backbone={json.dumps(str(tmp_path / 'other.pth'))}"), 17)


def test_machines_come_from_the_launcher(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert Machines.here(None, None) == Machines(1, 1)
    assert Machines.here(2, 3).world_size == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert Machines.here(None, None) == Machines(4, 2)


def test_what_needs_gpus_is_refused_without(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs GPUs"):
        train(tiny("trainer.sync_batchnorm=true"), tmp_path / "run", Machines(2), quiet=True)
    with pytest.raises(UsageError, match=r"precision=16-mixed needs a GPU"):
        train(tiny("trainer.precision=16-mixed"), tmp_path / "run", ONE, quiet=True)
    assert precision_of(tiny()) == "32-true"


def test_frozen_parameters_stay_as_they_start(tiny, tmp_path):
    train(tiny("schedule.steps=2", 'optim.scales={"backbone.layer1."=0}'), tmp_path / "run", ONE, quiet=True)
    start = make_network(tiny("schedule.steps=2"), 17).state_dict()
    end = load_file(tmp_path / "run/models/final/model.safetensors")
    moved = {name for name in start if start[name].is_floating_point() and not torch.equal(start[name], end[name])}
    weights = {
        name for name in start if name.startswith("backbone.") and "running" not in name and start[name].ndim == 4
    }
    assert {name for name in weights if name not in moved} == {n for n in weights if n.startswith("backbone.layer1.")}
    with pytest.raises(UsageError, match=r"optim\.scales: the network has no parameter that begins with trunk"):
        train(tiny("optim.scales={trunk=0}"), tmp_path / "other", ONE, quiet=True)
