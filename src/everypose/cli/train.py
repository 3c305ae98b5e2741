"""``everypose train``: train a network with a recipe."""

import json
from pathlib import Path
from typing import Annotated

import typer

from everypose.cli.recipes import list_recipes
from everypose.errors import MissingDependencyError, UsageError


def train(
    recipe: Annotated[str | None, typer.Argument(help="A bundled recipe, or the path of a TOML file.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data set's folder; the recipe's relative paths start here.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, such as optim.lr=1e-4; repeatable."),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes on each machine. Default: the launcher's, or every GPU.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines. Default: the launcher's, or 1.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue this run from its last checkpoint, with its recipe.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="The run's folder. Default: runs/RECIPE.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, order and augmentation.")
    ] = None,
    max_time: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", help="Write a checkpoint and end after this time; continue with --resume.", min=0
        ),
    ] = None,
    logs: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="NAME",
            help="A log: tensorboard, csv, wandb, mlflow; repeatable. [default: the recipe's]",
        ),
    ] = None,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network: a slow start, then faster steps on a GPU.")
    ] = False,
    show_recipes: Annotated[bool, typer.Option("--list", help="Print the bundled recipes and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the path of the model.")] = False,
) -> None:
    """Train a network with a recipe, from a COCO-format data set to a model folder.

    Example: everypose train boir-w32-coco --data data/coco --devices 4
    """
    if show_recipes:
        list_recipes()
        return
    if resume is not None and (recipe is not None or out is not None or seed is not None):
        raise UsageError(
            "--resume RUN continues with the recipe and seed of RUN and writes there: leave out RECIPE, -o and --seed"
        )
    if resume is None and recipe is None:
        raise UsageError("which recipe? Give a name (everypose train --list shows them) or the path of a TOML file")
    overrides = list(settings or [])
    if data is not None:
        overrides.append(f"data.root={json.dumps(str(data.resolve()))}")
    if seed is not None:
        overrides.append(f"trainer.seed={seed}")
    if logs:
        overrides.append(f"logs.loggers={json.dumps(logs)}")
    if compile_network:
        overrides.append("trainer.compile=true")
    from everypose.training.recipe_files import RECIPE_FILE, load_recipe

    source = str(resume / RECIPE_FILE) if resume is not None else str(recipe)
    loaded = load_recipe(source, overrides)
    try:
        # Imported after the recipe is read: torch takes seconds, a wrong recipe is an error at once.
        from everypose.training import run
    except ModuleNotFoundError as error:
        raise MissingDependencyError("training", "train") from error
    folder = resume or out or Path("runs", Path(source).stem)
    machines = run.Machines.here(devices, nodes)
    outcome = run.train(loaded, folder, machines, resume=resume is not None, quiet=quiet, max_minutes=max_time)
    if outcome is not None:
        print(outcome)
