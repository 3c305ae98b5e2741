"""Train on a Ray cluster: a worker or machine that is lost is replaced, and the run goes on from its last checkpoint.

    python deploy/ray_train.py boir-w32-coco /data/runs/boir --data /data/coco --workers 8 --gpus

All machines must have everypose installed, and share the data and the run's folder under the same paths.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

CHECKPOINT = "checkpoints/last.ckpt"


def train_worker(settings: dict[str, Any]) -> None:
    """Train in one of the processes that Ray has connected."""
    # What torchrun also sets: everypose and Lightning then train as one process of a launched group.
    os.environ["TORCHELASTIC_RUN_ID"] = "ray"
    os.environ["GROUP_RANK"] = os.environ["NODE_RANK"]
    from everypose.training.recipe_files import RECIPE_FILE, load_recipe
    from everypose.training.run import train

    folder = Path(settings["run"])
    resume = (folder / CHECKPOINT).exists()
    recipe = load_recipe(str(folder / RECIPE_FILE) if resume else settings["recipe"], settings["overrides"])
    train(recipe, folder, resume=resume, quiet=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a bundled recipe, or the path of a TOML file")
    parser.add_argument("run", type=Path, help="the run's folder; a run that is there is resumed")
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, required=True, help="processes, spread over the machines")
    parser.add_argument("--gpus", action="store_true", help="give each process a GPU")
    parser.add_argument("--failures", type=int, default=10, help="how often lost workers are replaced")
    options = parser.parse_args()
    run = options.run.resolve()
    recipe = Path(options.recipe)
    data = [f"data.root={json.dumps(str(options.data.resolve()))}"] if options.data else []
    settings = {
        "recipe": str(recipe.resolve()) if recipe.is_file() else options.recipe,
        "run": str(run),
        "overrides": [*data, *options.overrides],
    }
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=options.gpus),
        run_config=RunConfig(
            name="ray", storage_path=str(run), failure_config=FailureConfig(max_failures=options.failures)
        ),
    )
    trainer.fit()


if __name__ == "__main__":
    main()
