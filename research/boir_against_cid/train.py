"""Train CID, BoIR and BoIR without single losses on stored trunk maps.

    python -m research.boir_against_cid.train TRUNK.safetensors --train train.json images --train crowds.json crowds
        --pool 2000 --steps 500 --runs cid:0 boir:0 cid:1 boir:1 no-bbox:0 -o OUT

All networks see the same samples with the same augmentation, in an order that depends on the seed; the seed also
determines the initial weights. What OUT holds already is not trained again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import torch
from torch import Tensor, nn

from everypose.errors import exit_on_user_error
from everypose.methods.boir.network import BoIROutputs
from everypose.methods.boir.settings import BoIRTraining
from everypose.methods.cid.losses import contrastive_loss
from everypose.methods.single_stage.attention import instance_parameters
from everypose.methods.single_stage.targets import Targets
from everypose.models.storage import save_model
from everypose.training.ema import Ema
from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.recipe import SingleStageRecipe
from everypose.training.sample_stream import index_at
from everypose.training.tasks.single_stage import SingleStageTask
from research.boir_against_cid.samples import SamplePool, StoredTrunk
from research.boir_against_cid.variants import VARIANTS, Variant, recipe_of, without_bottom_up

LOG_EVERY = 20


def main() -> None:
    """Make the pool of samples, then train every run of the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trunk", type=Path)
    parser.add_argument(
        "--train", nargs=2, type=Path, action="append", required=True, metavar=("ANNOTATIONS", "IMAGES")
    )
    parser.add_argument("--pool", type=int, default=2000, help="number of samples")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME:SEED")
    parser.add_argument("--float32", action="store_true", help="without bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sources = [(annotations.resolve(), images.resolve()) for annotations, images in arguments.train]
    variants = {variant.name: variant for variant in VARIANTS}

    def recipe(name: str, seed: int) -> SingleStageRecipe:
        return recipe_of(variants[name], arguments.trunk.resolve(), sources, seed=seed, steps=arguments.steps)

    begin = time.process_time()
    trunk = SingleStageTask(recipe("boir", 0)).make_network().get_submodule("backbone.trunk")
    pool = SamplePool(recipe("boir", 0), arguments.pool, arguments.out / "pool", trunk.eval())
    print(f"pool: {time.process_time() - begin:.0f} CPU seconds", flush=True)
    with (arguments.out / "log.jsonl").open("a", encoding="utf-8") as log:
        for run in arguments.runs:
            name, seed = run.split(":")
            folder = arguments.out / f"{name}-{seed}"
            if not folder.exists():
                begin = time.process_time()
                train(variants[name], recipe(name, int(seed)), pool, folder, log, bf16=not arguments.float32)
                print(f"{run}: {time.process_time() - begin:.0f} CPU seconds", flush=True)


def train(
    variant: Variant, recipe: SingleStageRecipe, pool: SamplePool, folder: Path, log: TextIO, *, bf16: bool
) -> None:
    """Train one network and save it, its weights averaged as the recipe says."""
    training = Training(variant, recipe, pool)
    for step, losses in training.steps(bf16=bf16):
        if (step + 1) % LOG_EVERY == 0:
            row = {"run": folder.name, "step": step + 1, **{name: round(x.item(), 4) for name, x in losses.items()}}
            log.write(json.dumps(row) + "\n")
            log.flush()
    training.save(folder)


class Training:
    """One network in training on stored trunk maps.

    Args:
        variant: which network.
        recipe: of the variant.
        pool: the samples.
    """

    def __init__(self, variant: Variant, recipe: SingleStageRecipe, pool: SamplePool) -> None:
        self._recipe, self._pool = recipe, pool
        self._task = SingleStageTask(recipe)
        if not variant.bottom_up:
            leave_out_bottom_up(self._task)
        self._network = self._task.make_network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._trunk, self._stored = self._network.backbone.trunk, StoredTrunk()
        self._network.backbone.trunk = self._stored
        if variant.contrastive:
            add_contrastive_loss(self._task, self._network, recipe)
        self._ema = Ema(self._network, recipe.ema.decay)

    def steps(self, *, bf16: bool) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Train step by step; gives each step's number and losses."""
        recipe, network = self._recipe, self._network
        groups = [dict(group) for group in self._task.parameter_groups(network)]
        optimizer = torch.optim.AdamW(groups, lr=recipe.optim.lr, weight_decay=recipe.optim.weight_decay)
        parameters = [value for value in network.parameters() if value.requires_grad]
        schedule = LearningRateSchedule.of(recipe, len(self._task.samples), 1)
        network.train()
        for step in range(schedule.steps):
            batch, self._stored.maps = self._pool.batch(self._positions(step))
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                losses = self._task.losses(network, batch)
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            norm = nn.utils.clip_grad_norm_(parameters, recipe.optim.clip)
            if norm.isfinite():
                for group in optimizer.param_groups:
                    group["lr"] = schedule.learning_rate(step) * group["scale"]
                optimizer.step()
                self._ema.update()
            yield step, losses

    def _positions(self, step: int) -> list[int]:
        """The samples of a step; the seed determines their order."""
        batch, count = self._recipe.trainer.batch, len(self._pool.samples)
        places = range(step * batch, (step + 1) * batch)
        return [index_at(place, count, self._recipe.trainer.seed) for place in places]

    def save(self, folder: Path) -> None:
        """Save the averaged weights with the trunk."""
        self._network.load_state_dict(self._ema.average)
        self._network.backbone.trunk = self._trunk
        save_model(self._network, self._task.config.model_copy(update={"name": folder.name}), folder)


def leave_out_bottom_up(task: SingleStageTask) -> None:
    """Restrict a task's multi heatmap loss to the center map."""
    whole = task._objective

    def center_only(outputs: BoIROutputs, targets: Targets) -> dict[str, Tensor]:
        return whole(*without_bottom_up(outputs, targets))

    task._objective = center_only


def add_contrastive_loss(task: SingleStageTask, network: nn.Module, recipe: SingleStageRecipe) -> None:
    """Let a task's losses include CID's contrastive loss of the vectors at the instances' centers."""
    rest, features = task._objective, list[Tensor]()
    divisor = cast(BoIRTraining, recipe).losses.divisor

    def keep(_module: nn.Module, _images: object, feature: Tensor) -> None:
        features[:] = [feature]

    def with_contrastive(outputs: BoIROutputs, targets: Targets) -> dict[str, Tensor]:
        vectors = instance_parameters(features[0], targets.instance_image, targets.instance_yx)
        contrast = contrastive_loss(vectors, targets.instance_image, targets.normalizers.instances)
        return {**rest(outputs, targets), "contrastive": contrast / divisor}

    network.get_submodule("backbone").register_forward_hook(keep)
    task._objective = with_contrastive


if __name__ == "__main__":
    with exit_on_user_error("boir_against_cid"):
        main()
