"""Training by Ray Train with ``deploy/ray_train.py`` (``make test-ray``): the losses of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the environment of make test-ray")
pytest.importorskip("tensorboardX", reason="needs the environment of make test-ray")
pytest.importorskip("lightning", reason="needs the environment of make test-ray")

from everypose.training.checkpoints import Checkpoint
from everypose.training.recipe_files import load_recipe
from everypose.training.run import Machines, train
from training.conftest import TINY, draw_stick_figures

ROOT = Path(__file__).parents[2]
SETTINGS = ["schedule.steps=8", "trainer.checkpoint_steps=3", "trainer.freeze_batchnorm=true", "optim.lr=1e-3"]

LOSES_A_WORKER_AFTER_STEP_5 = """
import os, signal
from pathlib import Path

import ray_train

def train_worker(settings):
    from everypose.training import lightning_module as module

    def step_and_die(self, *arguments, **named):
        step(self, *arguments, **named)
        lost = Path(settings["run"]).parent / "lost"
        if self.step == 5 and os.environ["RANK"] == "1" and not lost.exists():
            lost.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    step = module.PoseTraining.optimizer_step
    module.PoseTraining.optimizer_step = step_and_die
    train_as_usual(settings)

train_as_usual = ray_train.train_worker
ray_train.train_worker = train_worker
ray_train.main()
"""


def losses_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "loss/total" in line}


@pytest.mark.filterwarnings("default")
def test_a_lost_worker_is_replaced_and_the_losses_are_those_of_one_process(tmp_path):
    draw_stick_figures(tmp_path / "data", 5)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    root = f"data.root={json.dumps(str(tmp_path / 'data'))}"
    train(load_recipe(recipe, [root, "trainer.batch=4", *SETTINGS]), tmp_path / "one", Machines(1), quiet=True)
    (tmp_path / "losing.py").write_text(LOSES_A_WORKER_AFTER_STEP_5)
    paths = [str(ROOT / "src"), str(ROOT / "deploy"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_ADDRESS": "local",  # not a cluster that happens to run here
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_register_timeout_seconds": "600",
        "OMP_NUM_THREADS": "1",
    }
    run = tmp_path / "two"
    command = [sys.executable, "losing.py", "tiny.toml", run, "--data", "data", "--workers", "2"]
    command += [word for setting in SETTINGS for word in ("--set", setting)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "lost").exists()
    assert json.loads((run / "environment-3.json").read_text())["first_step"] == 3  # resumed from the checkpoint
    assert Checkpoint.load(run / "checkpoints/last.ckpt").step == 8
    expected, found = losses_of(tmp_path / "one"), losses_of(run)
    assert set(found) == set(expected)
    for step, line in expected.items():
        assert found[step] == pytest.approx(line, rel=1e-5)
