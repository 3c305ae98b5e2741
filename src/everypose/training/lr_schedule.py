"""The learning rate as a pure function of the step, so that a resumed run continues exactly."""

import math
from dataclasses import dataclass

from everypose.training.recipe import Recipe


@dataclass(frozen=True)
class LearningRateSchedule:
    """A run's length and learning rate, in optimizer steps.

    Epochs are counted in samples seen: epoch e is complete after ceil(e x samples / global batch) steps.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2, "warmup_steps": 10}, "trainer": {"batch": 8}}
    >>> schedule = LearningRateSchedule.of(parse_recipe(table), samples=1000, world_size=1)
    >>> schedule.steps, schedule.learning_rate(0) < schedule.learning_rate(10)
    (250, True)
    """

    steps: int
    samples: int
    global_batch: int
    recipe: Recipe

    @classmethod
    def of(cls, recipe: Recipe, samples: int, world_size: int) -> "LearningRateSchedule":
        """The schedule of a recipe over ``samples`` training samples and ``world_size`` processes."""
        global_batch = recipe.trainer.batch * recipe.trainer.accumulate * world_size
        steps = recipe.schedule.steps or math.ceil(recipe.schedule.epochs * samples / global_batch)
        return cls(max(steps, 1), samples, global_batch, recipe)

    def step_of_epoch(self, epoch: float) -> int:
        """Steps taken when ``epoch`` epochs are complete."""
        return math.ceil(epoch * self.samples / self.global_batch)

    def epoch_of_step(self, step: int) -> float:
        """Epochs complete after ``step`` steps."""
        return step * self.global_batch / self.samples

    def ends_epoch(self, step: int, every: float = 1.0) -> bool:
        """Whether step number ``step`` (from 1) is the one that completes a multiple of ``every`` epochs."""
        if every <= 0:
            return False
        before, after = self.epoch_of_step(step - 1), self.epoch_of_step(step)
        return math.floor(after / every + 1e-9) > math.floor(before / every + 1e-9)

    def learning_rate(self, step: int) -> float:
        """Learning rate of the step after ``step`` steps: linear warm-up, then cosine or steps at milestones."""
        plan, peak = self.recipe.schedule, self.recipe.optim.lr
        warmup = min(plan.warmup_steps or self.step_of_epoch(plan.warmup_epochs), self.steps)
        if step < warmup:
            return plan.warmup_start + (peak - plan.warmup_start) * step / warmup
        if plan.kind == "multistep":
            passed = sum(step >= self.step_of_epoch(milestone) for milestone in plan.milestones)
            return peak * plan.gamma**passed
        progress = min((step - warmup) / max(self.steps - warmup, 1), 1.0)
        return plan.final_lr + (peak - plan.final_lr) * (1 + math.cos(math.pi * progress)) / 2
