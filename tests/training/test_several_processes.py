"""Batches, processes and machines: the same losses however a step is distributed, also after a machine is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from everypose.training.checkpoints import Checkpoint
from everypose.training.lightning_module import PoseTraining
from everypose.training.run import Machines, train
from training.nodes import two_nodes

ONE = Machines(1)
SETTINGS = ["trainer.freeze_batchnorm=true", "optim.lr=1e-3", "data.workers=0"]

DIES_AFTER_STEP_5 = """
import os, signal
from everypose.cli.main import main
from everypose.training import lightning_module as module

def step_and_die(self, *arguments, **named):
    step(self, *arguments, **named)
    if self.step == 5 and os.environ["RANK"] == "1":
        os.kill(os.getppid(), signal.SIGKILL)  # the machine's torchrun
        os.kill(os.getpid(), signal.SIGKILL)

step = module.PoseTraining.optimizer_step
module.PoseTraining.optimizer_step = step_and_die
main()
"""


def assert_same_losses(one, other):
    assert set(one) == set(other)
    for step, line in one.items():
        assert other[step] == pytest.approx(line, rel=1e-5)


@pytest.mark.parametrize("family", ["boir", "crops"])
def test_accumulated_batches_are_one_large_batch(tiny, crops, tmp_path, losses_of, monkeypatch, family):
    """Losses, gradients and parameters; BatchNorm is frozen, because it would see each batch alone."""
    recipe = tiny if family == "boir" else crops
    gradients: list[dict[str, torch.Tensor]] = []

    def noted(self, _):
        if self.step == 0:
            gradients.append({n: p.grad.clone() for n, p in self.network.named_parameters() if p.grad is not None})

    monkeypatch.setattr(PoseTraining, "on_before_optimizer_step", noted)
    train(recipe("trainer.batch=4", "schedule.steps=3", *SETTINGS), tmp_path / "large", ONE, quiet=True)
    halves = recipe("trainer.batch=1", "trainer.accumulate=4", "schedule.steps=3", *SETTINGS)
    train(halves, tmp_path / "parts", ONE, quiet=True)
    assert_same_losses(losses_of(tmp_path / "large"), losses_of(tmp_path / "parts"))
    large, parts = gradients
    assert set(large) == set(parts)
    scale = max(gradient.abs().max().item() for gradient in large.values())
    for name, gradient in large.items():
        assert torch.allclose(parts[name], gradient, rtol=1e-4, atol=1e-6 * scale), name
    one, other = (load_file(tmp_path / run / "models/final/model.safetensors") for run in ("large", "parts"))
    for name, gradient in large.items():
        # Adam makes whole steps of gradients that are zero except for rounding.
        real = gradient.abs() > 1e-5 * scale
        assert torch.allclose(other[name][real], one[name][real], rtol=1e-3, atol=2e-4), name


@pytest.mark.slow
def test_a_lost_machine_costs_the_steps_since_the_checkpoint(tiny, tmp_path, losses_of):
    """Two torchrun machines, one of them killed: the job ends, and resumed it has the losses of one process."""
    settings = ["schedule.steps=8", "trainer.checkpoint_steps=3", *SETTINGS]
    train(tiny("trainer.batch=4", *settings), tmp_path / "one", ONE, quiet=True)
    (tmp_path / "resolved.toml").write_text(tiny(*settings).to_toml())
    (tmp_path / "dying.py").write_text(DIES_AFTER_STEP_5)
    run = tmp_path / "two"
    with two_nodes() as nodes:
        command = [tmp_path / "dying.py", "train", tmp_path / "resolved.toml", "-o", run, "--quiet"]
        first, second = (nodes.start(number, command, "lost") for number in (0, 1))
        _, message = first.communicate(timeout=900)
        second.communicate(timeout=900)
        assert (first.returncode, second.returncode) == (1, -signal.SIGKILL), message
        assert "another of its processes did" in message
        assert Checkpoint.load(run / "checkpoints/last.ckpt").step == 3
        command = ["-m", "everypose", "train", "--resume", run, "--quiet"]
        for process in [nodes.start(number, command, "resumed") for number in (0, 1)]:
            _, message = process.communicate(timeout=900)
            assert process.returncode == 0, message
    assert_same_losses(losses_of(tmp_path / "one"), losses_of(run))


SLEEPS_IN_EACH_STEP = """
import time
from everypose.cli.main import main
from everypose.training import lightning_module as module

def slow(self, *arguments):
    time.sleep(0.1)
    return step(self, *arguments)

step = module.PoseTraining.training_step
module.PoseTraining.training_step = slow
main()
"""
SRUN = """#!/bin/bash
shift
exec {python} -m torch.distributed.run --standalone --nproc-per-node 2 {script} "$@"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> {calls}
"""


@pytest.mark.slow
def test_a_slurm_job_is_requeued_before_its_time_limit_and_goes_on(tiny, tmp_path, losses_of):
    """The script of deploy/, where torchrun stands in for srun: SIGUSR1, a checkpoint, requeue, the same losses."""
    # Differences of rounding grow with the learning rate and the number of steps.
    settings = ["schedule.steps=16", *SETTINGS, "optim.lr=1e-5"]
    train(tiny("trainer.batch=4", *settings), tmp_path / "one", ONE, quiet=True)
    recipe, run, calls = tmp_path / "resolved.toml", tmp_path / "run", tmp_path / "calls"
    recipe.write_text(tiny(*settings).to_toml())
    (tmp_path / "slow.py").write_text(SLEEPS_IN_EACH_STEP)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(text.format(python=sys.executable, script=tmp_path / "slow.py", calls=calls))
        tool.chmod(0o755)
    script = Path(__file__).parents[2] / "deploy" / "slurm-train.sh"
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    environment["OMP_NUM_THREADS"] = "1"
    command = ["bash", script, recipe, run, "--quiet"]
    job = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = run / "metrics.jsonl"
    while job.poll() is None and not (log.is_file() and log.read_text().count("\n") >= 3):
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    output, _ = job.communicate(timeout=900)
    assert job.returncode == 0, output
    assert calls.read_text() == "requeue 17\n", output
    assert 3 <= Checkpoint.load(run / "checkpoints/last.ckpt").step < 16
    done = subprocess.run(command, env=environment, check=False, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model: ") == 1, "one of the two processes says where the model is"
    assert calls.read_text() == "requeue 17\n"
    assert_same_losses(losses_of(tmp_path / "one"), losses_of(run))
