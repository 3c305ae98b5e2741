"""The Lightning module: network, losses, optimizer and learning rate of one run."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.utils.data import DataLoader

from everypose.errors import as_user_error
from everypose.methods.method import Task
from everypose.methods.top_down.graph import HeatmapNetwork
from everypose.training.checkpoints import Checkpoint
from everypose.training.ema import Ema
from everypose.training.guard import FiniteGuard, GradientGuard
from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.recipe import Recipe
from everypose.training.sample_stream import StepBatches, StepLoader, training_loader
from everypose.training.tasks.protocol import AnyTask


class PoseTraining(LightningModule):
    """Trains a network by a recipe, from step ``checkpoint.step`` on if there is a checkpoint.

    ``step`` counts the optimizer steps of the whole run, resumed or not; everything that changes over a run is a
    function of it.

    >>> from types import SimpleNamespace
    >>> from everypose.training.recipe import parse_recipe
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}})
    >>> schedule = LearningRateSchedule.of(recipe, samples=1000, world_size=1)
    >>> module = PoseTraining(nn.Conv2d(3, 8, 3), SimpleNamespace(), recipe, schedule)
    >>> module.step, module.mean_losses()
    (0, {})
    """

    def __init__(
        self,
        network: nn.Module,
        task: AnyTask,
        recipe: Recipe,
        schedule: LearningRateSchedule,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe = recipe
        self.schedule = schedule
        self.step = checkpoint.step if checkpoint else 0
        self.ema: Ema | None = None
        self.loss_names: tuple[str, ...] = ()
        self.loss_sum: Tensor | None = None
        self.loss_count = 0
        self.sample_counts: Counter[str] = Counter()
        self.guard = FiniteGuard()
        self.gradient_guard = GradientGuard()
        self._task = task
        self._checkpoint = checkpoint
        if checkpoint:
            with as_user_error("the checkpoint does not fit the recipe's network"):
                network.load_state_dict(checkpoint.network)
        if recipe.trainer.compile:
            compile_network(network, recipe.model.task)

    def train_dataloader(self) -> "DataLoader[Any] | StepLoader":
        """The rest of the run, as one pass of this process's batches."""
        settings, trainer = self.recipe.trainer, self.trainer
        batches = StepBatches(
            self.step, self.schedule.steps, settings.batch, settings.accumulate, trainer.global_rank, trainer.world_size
        )
        return training_loader(self._task.samples, batches, self.recipe.data.workers, self.on_gpu)

    def configure_optimizers(self) -> Optimizer:
        """The recipe's optimizer over all parameters; its learning rate is set before each step."""
        settings = self.recipe.optim
        groups = [dict(group) for group in self._task.parameter_groups(self.network)]
        if settings.name == "adam":
            return Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay)
        return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)

    def on_train_start(self) -> None:
        """Take over the rest of the checkpoint, now that everything is on its device."""
        self.train()
        if self.recipe.ema.decay:
            self.ema = Ema(self.network, self.recipe.ema.decay)
        saved, self._checkpoint = self._checkpoint, None
        if saved is None:
            return
        with as_user_error("the checkpoint does not fit the recipe's optimizer"):
            self.trainer.optimizers[0].load_state_dict(saved.optimizer)
            if saved.precision:
                self.trainer.precision_plugin.load_state_dict(saved.precision)
            if self.ema and saved.ema is not None:
                self.ema.load(saved.ema, saved.ema_updates)

    def train(self, mode: bool = True) -> "PoseTraining":
        """Training mode; with ``trainer.freeze_batchnorm``, BatchNorm keeps using its running statistics."""
        super().train(mode)
        if self.recipe.trainer.freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The total loss of a batch."""
        self._task.begin_step(self.network, self.schedule.epoch_of_step(self.step))
        losses = self._task.losses(self.network, batch)
        self._task.end_step(self.network)
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        self.loss_names = tuple(losses)
        self.loss_sum = values if self.loss_sum is None else self.loss_sum + values
        self.loss_count += 1
        self.sample_counts.update(self._task.sample_counts(batch))
        self.guard.watch(values, self.loss_names, batch.keys, self.step + 1)
        return torch.stack(list(losses.values())).sum()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Skip a step whose gradients oneDNN computed wrongly.

        On CPUs, its bfloat16 gradients of dilated convolutions are now and then not finite where the losses are (seen
        with torch 2.13). Other machines keep them, so that a run that diverges ends.
        """
        if self.device.type == "cpu" and str(self.trainer.precision).startswith("bf16"):
            parameters = [value for group in optimizer.param_groups for value in group["params"]]
            self.gradient_guard.check(parameters, self.step + 1)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """One step at the learning rate of its number; then the moving average follows."""
        for group in optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step) * group["scale"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.step += 1
        if self.ema:
            self.ema.update()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network holds the averaged weights inside this block, where the recipe asks for an average."""
        with self.ema.applied() if self.ema else nullcontext():
            yield

    def mean_losses(self) -> dict[str, float]:
        """Each loss and their ``total``, averaged over the batches since the last call and over all processes.

        A loss of some of the samples only, such as that of one data set of a mixture, is also reported as
        ``NAME_per_sample``, the mean over these alone, which can be compared between data sets. The total contains
        it once. Every process must call this at the same step.
        """
        if self.loss_sum is None:
            return {}
        seen = self.loss_count * self.recipe.trainer.batch
        shares = self.loss_sum.new_tensor([self.sample_counts[name] / seen for name in self.loss_names])
        values = torch.stack([self.loss_sum / self.loss_count, shares])
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(values)
            values = values / self.trainer.world_size
        self.loss_sum, self.loss_count = None, 0
        self.sample_counts.clear()
        means = list(zip(self.loss_names, *values.tolist(), strict=True))
        losses = {name: loss for name, loss, _ in means}
        per_sample = {f"{name}_per_sample": loss / share for name, loss, share in means if share}
        return losses | per_sample | {"total": sum(losses.values())}

    def checkpoint(self, best_ap: float | None) -> Checkpoint:
        """The state of the run after the present step."""
        return Checkpoint(
            step=self.step,
            samples=self.schedule.samples,
            global_batch=self.schedule.global_batch,
            network=self.network.state_dict(),
            optimizer=self.trainer.optimizers[0].state_dict(),
            precision=self.trainer.precision_plugin.state_dict(),
            ema=self.ema.average if self.ema else None,
            ema_updates=self.ema.updates if self.ema else 0,
            best_ap=best_ap,
        )


def compile_network(network: nn.Module, task: Task) -> None:
    """Compile what training and validation call of a network, in place; names of parameters stay."""
    network.compile()
    if task == "top-down":
        maps = cast(HeatmapNetwork, network)
        maps.heatmaps = torch.compile(maps.heatmaps)  # type: ignore[method-assign]
