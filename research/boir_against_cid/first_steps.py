"""Losses of the first steps of variants of the compared networks, to choose how each is trained.

    python -m research.boir_against_cid.first_steps TRUNK.safetensors --train train.json images --pool 800 --steps 400
        --stop 100 --runs cid cid,optim.lr=0.01 boir,optim.lr=0.004 -o OUT

A run is a network's name, followed by fields of its recipe. The seed differs from those of the comparison. Each run
prints a line with the mean losses of the last ``LAST`` steps before the stop.
"""

import argparse
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from everypose.errors import exit_on_user_error
from everypose.training.recipe import SingleStageRecipe
from everypose.training.tasks.single_stage import SingleStageTask
from research.boir_against_cid.samples import SamplePool
from research.boir_against_cid.train import Training
from research.boir_against_cid.variants import VARIANTS, Variant, recipe_of

SEED = 100
LAST = 20


def main() -> None:
    """Train every run for some steps and print its losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trunk", type=Path)
    parser.add_argument(
        "--train", nargs=2, type=Path, action="append", required=True, metavar=("ANNOTATIONS", "IMAGES")
    )
    parser.add_argument("--pool", type=int, default=2000, help="number of samples")
    parser.add_argument("--steps", type=int, default=500, help="steps of the cosine, of which --stop are made")
    parser.add_argument("--stop", type=int, default=100)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME,FIELD=VALUE,...")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sources = [(annotations.resolve(), images.resolve()) for annotations, images in arguments.train]

    def recipe(variant: Variant, seed: int) -> SingleStageRecipe:
        return recipe_of(variant, arguments.trunk.resolve(), sources, seed=seed, steps=arguments.steps)

    boir = next(variant for variant in VARIANTS if variant.name == "boir")
    trunk = SingleStageTask(recipe(boir, 0)).make_network().get_submodule("backbone.trunk")
    pool = SamplePool(recipe(boir, 0), arguments.pool, arguments.out / "pool", trunk.eval())
    for run in arguments.runs:
        variant = changed(run)
        training = Training(variant, recipe(variant, SEED), pool)
        rows = [losses for _, losses in islice(training.steps(bf16=True), arguments.stop)][-LAST:]
        means = {name: round(sum(row[name].item() for row in rows) / len(rows), 4) for name in rows[0]}
        print(json.dumps({"run": run, "step": arguments.stop, **means}), flush=True)


def changed(run: str) -> Variant:
    """The variant of a run, with the run's fields.

    >>> changed("cid,optim.lr=0.01").overrides[-1]
    'optim.lr=0.01'
    """
    name, *fields = run.split(",")
    variant = next(variant for variant in VARIANTS if variant.name == name)
    return replace(variant, overrides=(*variant.overrides, *fields))


if __name__ == "__main__":
    with exit_on_user_error("first_steps"):
        main()
