"""Callback of a run: logs, validation, checkpoints, progress."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from everypose.errors import EveryposeError
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.training.checkpoints import CheckpointClock
from everypose.training.console import Display
from everypose.training.guard import finite_weights
from everypose.training.lightning_module import PoseTraining
from everypose.training.run_logs import RunLogs
from everypose.training.stop_requests import Agreement, RunEnded, StopRequests
from everypose.training.validation import Validator

LAST_CHECKPOINT = "checkpoints/last.ckpt"
BEST_MODEL = "models/best"
FINAL_MODEL = "models/final"


class RunCallback(Callback):
    """After each step: logs, validates, and writes checkpoints and models, each when it is due.

    Lightning's own logger, checkpoint callback and validation loop count in its epochs, of which a run here has one.

    Attributes:
        best_ap: the best AP so far, None before the first validation.
        last_ap: the latest one.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> callback = RunCallback(Path("run"), config, validators=[], display=Display(quiet=True), first_step=0)
    >>> callback.best_ap is None  # before the first validation
    True
    """

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        *,
        validators: Sequence[Validator],
        display: Display,
        first_step: int,
        best_ap: float | None = None,
        requests: StopRequests | None = None,
    ) -> None:
        self._folder = folder
        self._requests = requests or StopRequests()
        self._agreement = Agreement()
        self._config = config
        self._validators = validators
        self._display = display
        self._first_step = first_step
        self.best_ap = best_ap
        self.last_ap: float | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Open the logs."""
        assert isinstance(module, PoseTraining)
        settings = module.recipe.trainer
        self._logs = RunLogs(self._folder, module.recipe, first_step=self._first_step, writes=trainer.is_global_zero)
        self._clock = CheckpointClock(settings.checkpoint_minutes, settings.checkpoint_steps)
        self._display.start_training(self._first_step, module.schedule.steps)
        # Only now, because Lightning has put its own handlers, which end a run in the middle of a step.
        self._requests.install()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, _: Any, __: Any, batch_idx: int) -> None:
        """Log, validate and save after a step, as far as each is due."""
        assert isinstance(module, PoseTraining)
        settings, schedule, step = module.recipe.trainer, module.schedule, module.step
        if (batch_idx + 1) % settings.accumulate:
            return
        finished = step == schedule.steps
        if step % settings.log_steps == 0 or finished:
            self._log(module)
        if self._validators and (finished or schedule.ends_epoch(step, module.recipe.validation.every_epochs)):
            self._validate(trainer, module)
        if trainer.is_global_zero and (finished or self._clock.due(step, schedule.ends_epoch(step))):
            self._save(module)
        if not finished:
            self._answer_requests(trainer, module)

    def _answer_requests(self, trainer: Trainer, module: PoseTraining) -> None:
        """Save, or save and end the run, where a signal or the time limit asks for it."""
        request = self._requests.take()
        if trainer.world_size > 1:
            request = self._agreement.answer(request, module.device)
        if request is None:
            return
        if trainer.is_global_zero:
            self._save(module)
        if request == "end":
            raise RunEnded

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the final model."""
        assert isinstance(module, PoseTraining)
        self._requests.remove()
        self._logs.close()
        if trainer.is_global_zero:
            self._save_model(module, FINAL_MODEL)

    def on_exception(self, trainer: Trainer, _: LightningModule, exception: BaseException) -> None:
        """Write what the logs hold back; print how to resume if the run was interrupted."""
        self._requests.remove()
        if hasattr(self, "_logs"):  # they are open from the start of the training on
            with suppress(OSError):  # of a full disk, which may be the exception itself
                self._logs.close("failed")
        if trainer.is_global_zero and isinstance(exception, KeyboardInterrupt | RunEnded):
            kept = (self._folder / LAST_CHECKPOINT).exists()
            self._display.say(f"stopped; go on with --resume {self._folder}" if kept else "stopped before a checkpoint")

    def _log(self, module: PoseTraining) -> None:
        losses = module.mean_losses()
        rate = module.schedule.learning_rate(module.step - 1)
        epoch = module.schedule.epoch_of_step(module.step)
        values = {f"loss/{name}": value for name, value in losses.items()} | {"lr": rate, "epoch": epoch}
        if module.gradient_guard.left_out:
            values["steps_left_out"] = module.gradient_guard.left_out
        self._logs.write(module.step, values)
        note = f"epoch {epoch:.1f}, loss {losses['total']:.4g}"
        if self.last_ap is not None:
            note += f", AP {self.last_ap:.3f}"
        self._display.step(module.step, module.schedule.steps, note)

    def _validate(self, trainer: Trainer, module: PoseTraining) -> None:
        """AP of the averaged weights on each set, over all processes; the first keeps the model of the best mean."""
        module.guard.finish()
        try:
            with module.averaged():
                _share_from_first(module.network, trainer.world_size)
                aps = [self._measure(trainer, module, validator) for validator in self._validators]
                if trainer.is_global_zero:
                    self.last_ap = sum(aps) / len(aps)
                    if self.best_ap is None or self.last_ap > self.best_ap:
                        self.best_ap = self.last_ap
                        save_model(module.network, self._config, self._folder / BEST_MODEL)
        except RunEnded:
            module.train()
            self._save(module)
            raise
        module.train()

    def _measure(self, trainer: Trainer, module: PoseTraining, validator: Validator) -> float:
        """AP on one set; 0 in all processes but the first."""
        rank, world_size = trainer.global_rank, trainer.world_size
        with self._display.phase("validating", len(validator)) as advance:

            def advance_or_end(done: int) -> None:
                advance(done)
                # Other processes would wait for this one, and a finished run must get its models.
                if world_size == 1 and module.step < module.schedule.steps and self._requests.asks_to_end:
                    raise RunEnded

            prediction = validator.predict(
                module.network, module.device, rank=rank, world_size=world_size, advance=advance_or_end
            )
        results = [one for part in _gathered(prediction.results, world_size) for one in part]
        if not trainer.is_global_zero:
            return 0.0
        scores = validator.score(results)
        numbers = {"AP": scores.ap, "AP50": scores.ap50, "AR": scores.ar}
        self._logs.write(module.step, {f"val{validator.suffix}/{name}": value for name, value in numbers.items()})
        self._logs.show(module.step, prediction.pictures)
        where = f" on {validator.suffix.strip('-')}" if validator.suffix else ""
        self._display.say(f"step {module.step}: AP {scores.ap:.4f}, AP50 {scores.ap50:.4f}{where}")
        return scores.ap

    def _save(self, module: PoseTraining) -> None:
        """Write the last checkpoint, unless the run is broken."""
        module.guard.finish()
        if not finite_weights(list(module.network.parameters())):
            raise EveryposeError(
                f"training stopped at step {module.step}: the weights are not finite although the losses were; lower "
                "optim.lr, or train with --set trainer.precision=32-true; the last checkpoint is from before"
            )
        module.checkpoint(self.best_ap).save(self._folder / LAST_CHECKPOINT)
        self._clock.written()

    def _save_model(self, module: PoseTraining, name: str) -> None:
        with module.averaged():
            save_model(module.network, self._config, self._folder / name)


def _share_from_first(network: nn.Module, world_size: int) -> None:
    """Give every process the first one's weights and BatchNorm statistics, which differ: those are saved."""
    if world_size > 1:
        for value in network.state_dict().values():
            torch.distributed.broadcast(value, src=0)


def _gathered(results: list[dict[str, Any]], world_size: int) -> list[list[dict[str, Any]]]:
    """The results of all processes, on each."""
    if world_size == 1:
        return [results]
    parts: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(parts, results)
    return parts
