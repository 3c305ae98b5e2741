"""A whole training run: from a recipe to a folder with logs, checkpoints and models."""

import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from everypose.core.files import sha256, write_json, write_text
from everypose.core.process_setup import Terminated
from everypose.errors import EveryposeError, UsageError
from everypose.training.checkpoints import Checkpoint
from everypose.training.console import Display
from everypose.training.lightning_module import PoseTraining
from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.preflight import check_batch, check_run
from everypose.training.process_setup import prepare_training, process_rank
from everypose.training.recipe import MixtureRecipe, Recipe, RefinementRecipe, SingleStageRecipe, TopDownRecipe
from everypose.training.recipe_files import RECIPE_FILE
from everypose.training.run_callback import BEST_MODEL, FINAL_MODEL, LAST_CHECKPOINT, RunCallback
from everypose.training.run_logs import require_loggers
from everypose.training.stop_requests import RunEnded, StopRequests
from everypose.training.tasks.mixture import MixtureTask
from everypose.training.tasks.protocol import AnyTask
from everypose.training.tasks.refinement import RefinementTask
from everypose.training.tasks.single_stage import SingleStageTask
from everypose.training.tasks.top_down import TopDownTask

VERSIONS = ("everypose", "torch", "lightning", "numpy", "opencv-python-headless", "pydantic")


@dataclass(frozen=True)
class Machines:
    """How many processes train: ``devices`` on each of ``nodes`` machines.

    >>> Machines(devices=8, nodes=2).world_size
    16
    """

    devices: int
    nodes: int = 1

    @classmethod
    def here(cls, devices: int | None, nodes: int | None) -> "Machines":
        """The given numbers, or the launcher's (torchrun, SLURM), or every GPU of this machine, or one CPU process."""
        launched = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE")
        if devices is None:
            devices = int(launched) if launched else max(torch.cuda.device_count(), 1)
        if nodes is None:
            everywhere = os.environ.get("WORLD_SIZE") if os.environ.get("LOCAL_WORLD_SIZE") else None
            nodes = int(everywhere) // devices if everywhere else int(os.environ.get("SLURM_NNODES", "1"))
        return cls(devices, max(nodes, 1))

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the model that did best (or the final one, without validation), and the APs if known.

    >>> Outcome(Path("run/models/best"), ap=0.71, last_ap=0.7).ap
    0.71
    """

    model: Path
    ap: float | None
    last_ap: float | None

    def __str__(self) -> str:
        if self.ap is None:
            return f"model: {self.model} (not validated)"
        last = f", the final weights {self.last_ap:.4f}" if self.last_ap is not None else ""
        return f"model: {self.model}, AP {self.ap:.4f}{last}"


def train(
    recipe: Recipe,
    folder: Path,
    machines: Machines | None = None,
    *,
    resume: bool = False,
    quiet: bool = False,
    max_minutes: float | None = None,
) -> Outcome | None:
    """Train by a recipe into a run folder, or go on from its last checkpoint.

    The folder holds ``recipe.toml``, ``environment.json``, ``metrics.jsonl``, ``tensorboard/``,
    ``checkpoints/last.ckpt``, ``models/best`` and ``models/final``.

    SIGTERM and SIGHUP end it after the present step, SIGUSR1 does not; each writes a checkpoint first, and so does the
    time limit ``max_minutes``.

    Returns:
        How it ended; None in all processes except the first, and if the time limit ended it.

    Raises:
        UsageError: if the folder holds another run, or the machines cannot do what the recipe asks.
        EveryposeError: if data, weights or checkpoint cannot be used, or a loss is not finite.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": {"root": "missing"}}
    >>> train(parse_recipe(table), Path("run"), Machines(devices=1), quiet=True)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: missing is not a folder; give the folder that holds the data set
    """
    requests = StopRequests(max_minutes)
    require_loggers(recipe)
    machines = machines or Machines.here(None, None)
    _check_machines(recipe, machines)
    if process_rank() == 0 and not resume and (folder / LAST_CHECKPOINT).exists():
        raise UsageError(
            f"{folder} holds a run already: go on with --resume {folder}, or choose another folder with -o"
        )
    checkpoint = Checkpoint.load(folder / LAST_CHECKPOINT) if resume else None
    display = Display(quiet or process_rank() != 0)
    display.say(f"{recipe.name}: reading annotations")
    task = make_task(recipe)
    check_run(recipe, task)
    schedule = LearningRateSchedule.of(recipe, len(task.samples), machines.world_size)
    if checkpoint:
        _check_same_stream(checkpoint, schedule, folder, task.samples.unit)
    network = task.make_network()
    check_batch(recipe, network)
    module = PoseTraining(network, task, recipe, schedule, checkpoint)
    first_step = module.step
    best_ap = checkpoint.best_ap if checkpoint else None
    callback = RunCallback(
        folder,
        task.config,
        validators=task.validators,
        display=display,
        first_step=first_step,
        best_ap=best_ap,
        requests=requests,
    )
    if process_rank() == 0:
        _describe(recipe, folder, machines, first_step, _annotation_files(task))
    trainer = _make_trainer(recipe, task, machines=machines, callback=callback)
    display.say(
        f"{len(task.samples)} {task.samples.unit}, {schedule.steps - first_step} steps of {schedule.global_batch} "
        f"on {machines.world_size} x {trainer.strategy.root_device.type}, precision {trainer.precision}, into {folder}"
    )
    try:
        with display:
            _fit(trainer, module, folder)
    except RunEnded:
        if requests.number is not None:
            raise Terminated(requests.number) from None
        return None
    if not trainer.is_global_zero:
        return None
    model = folder / (FINAL_MODEL if callback.best_ap is None else BEST_MODEL)
    return Outcome(model, callback.best_ap, callback.last_ap)


def make_task(recipe: Recipe) -> AnyTask:
    """Make the data, network and losses of a recipe.

    Raises:
        EveryposeError: if data or the weights to start from cannot be used.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": {"root": "missing"}}
    >>> make_task(parse_recipe(table))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: missing is not a folder; give the folder that holds the data set
    """
    match recipe:
        case SingleStageRecipe():
            return SingleStageTask(recipe)
        case TopDownRecipe():
            return TopDownTask(recipe)
        case MixtureRecipe():
            return MixtureTask(recipe)
        case RefinementRecipe():
            return RefinementTask(recipe)
    raise UsageError(f"recipes of the family {recipe.model.family} cannot be trained")


def _fit(trainer: Trainer, module: PoseTraining, folder: Path) -> None:
    """Train; errors that a user can fix become one line, also those of loader workers."""
    try:
        trainer.fit(module)
        module.guard.finish()
    except SystemExit as error:
        # Lightning turns Ctrl-C into this exit, and ignores it for the rest of the process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
    except EveryposeError as error:
        _end_other_processes(trainer)
        lines = str(error).strip().splitlines()
        if len(lines) > 1:
            raise EveryposeError(lines[-1].partition("Error: ")[2] or lines[-1]) from error
        raise
    except OSError as error:
        _end_other_processes(trainer)
        raise EveryposeError(f"training stopped: cannot write into {folder}: {error.strerror or error}") from error
    except RuntimeError as error:
        if "by peer" not in str(error):  # gloo's words for "connection closed" and "connection reset"
            raise
        raise EveryposeError(
            "training stopped, because another of its processes did: its own message says why"
        ) from error


def _end_other_processes(trainer: Trainer) -> None:
    """End the processes that Lightning started, which would wait half an hour for this one; they write nothing."""
    launcher = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(signal.SIGKILL)


def _check_machines(recipe: Recipe, machines: Machines) -> None:
    """Refuse what the machines cannot do.

    Raises:
        UsageError: if there are fewer GPUs than requested, or synchronized BatchNorm or float16 without GPUs.
    """
    gpus = torch.cuda.device_count()
    if gpus and machines.devices > gpus:
        raise UsageError(f"--devices {machines.devices}: this machine has {gpus} GPUs")
    if recipe.trainer.precision == "16-mixed" and not gpus:
        raise UsageError(
            "trainer.precision=16-mixed needs a GPU: on a CPU, give 32-true, or bf16-mixed where it is fast"
        )
    if recipe.trainer.sync_batchnorm and machines.world_size > 1 and not gpus:
        raise UsageError(
            "synchronized BatchNorm needs GPUs; for several processes on CPUs give --set trainer.sync_batchnorm=false"
        )


def precision_of(recipe: Recipe) -> Any:
    """The recipe's precision; ``auto`` is mixed on a GPU, and full on a CPU, where half formats are far slower.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2}, "trainer": {"precision": "bf16-mixed"}}
    >>> precision_of(parse_recipe(table))
    'bf16-mixed'
    """
    if recipe.trainer.precision != "auto":
        return recipe.trainer.precision
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def _make_trainer(recipe: Recipe, task: AnyTask, *, machines: Machines, callback: RunCallback) -> Trainer:
    """Lightning's part: devices, processes, precision, accumulation, clipping. The whole run is one epoch to it."""
    prepare_training()
    gpu = torch.cuda.is_available()
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy=_strategy(task, machines),
        sync_batchnorm=recipe.trainer.sync_batchnorm and machines.world_size > 1,
        precision=precision_of(recipe),
        accumulate_grad_batches=recipe.trainer.accumulate,
        gradient_clip_val=recipe.optim.clip or None,
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[callback],
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _strategy(task: AnyTask, machines: Machines) -> str:
    if machines.world_size == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if task.leaves_parameters_unused else "ddp"


def _check_same_stream(checkpoint: Checkpoint, schedule: LearningRateSchedule, folder: Path, unit: str) -> None:
    """Refuse to resume where the step number would mean other samples."""
    if checkpoint.step >= schedule.steps:
        raise UsageError(f"{folder} is finished: all {schedule.steps} steps are done; more need a longer schedule")
    if checkpoint.samples != schedule.samples:
        raise UsageError(
            f"{folder} trained on {checkpoint.samples} {unit}, the data now has {schedule.samples}: give the same data"
        )
    if checkpoint.global_batch != schedule.global_batch:
        raise UsageError(
            f"{folder} trained with {checkpoint.global_batch} {unit} a step, this call gives {schedule.global_batch}: "
            "choose --devices, --nodes and trainer.batch so that they agree"
        )


def _annotation_files(task: AnyTask) -> list[Path]:
    """Return the annotation files that the task trains and validates on."""
    training = [one.annotation_file for one in task.sets if one.annotation_file is not None]
    return [*training, *(file for validator in task.validators for file in validator.annotated.layout.annotation_files)]


def _describe(recipe: Recipe, folder: Path, machines: Machines, first_step: int, files: Sequence[Path]) -> None:
    """Write the resolved recipe, and the circumstances; those of a resumed run get a file of their own."""
    write_text(folder / RECIPE_FILE, recipe.to_toml())
    circumstances = {
        "command": shlex.join(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "first_step": first_step,
        "seed": recipe.trainer.seed,
        "devices": machines.devices,
        "nodes": machines.nodes,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "data": {str(file): sha256(file) for file in files},
    }
    name = f"environment-{first_step}.json" if first_step else "environment.json"
    write_json(folder / name, circumstances, indent=2)
