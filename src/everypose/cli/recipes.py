"""``everypose recipes``: the bundled recipes; checks and estimates of a recipe before it is trained."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.quantities import BYTES, COUNTS, DURATIONS, with_unit

if TYPE_CHECKING:
    from everypose.training.recipe import Recipe

recipes_app = typer.Typer(no_args_is_help=True, help="List, show and check training recipes.", rich_markup_mode=None)

RecipeArgument = Annotated[str, typer.Argument(help="A bundled recipe, or the path of a TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, such as optim.lr=1e-4; repeatable."),
]


@recipes_app.command("list")
def list_recipes() -> None:
    """List the bundled recipes, with one line each.

    Example: everypose recipes list
    """
    from everypose.training.recipe_files import load_recipe, recipe_names

    for name in recipe_names():
        print(f"{name:30} {load_recipe(name).description}")


@recipes_app.command("show")
def show_recipe(recipe: RecipeArgument, settings: SetOption = None) -> None:
    """Print a recipe as TOML, with every field and its value.

    Example: everypose recipes show boir-w32-coco --set optim.lr=1e-4
    """
    from everypose.training.recipe_files import load_recipe

    print(load_recipe(recipe, settings or ()).to_toml(), end="")


@recipes_app.command("check")
def check_recipe(
    recipe: RecipeArgument,
    settings: SetOption = None,
    data: Annotated[
        Path | None, typer.Option(help="The data set's folder: its annotations are checked, too, and give the steps.")
    ] = None,
) -> None:
    """Check everything of a recipe that needs no training, and estimate steps, memory and time.

    Fields, network and logs; with --data also annotations and the weights to start from. The memory is that of float32
    in one process; the time is that of the arithmetic alone, at the speed of convolutions on this machine.

    Example: everypose recipes check boir-w32-coco --data data/coco
    """
    from everypose.errors import MissingDependencyError
    from everypose.training.recipe_files import load_recipe

    overrides = list(settings or [])
    if data is not None:
        overrides.append(f"data.root={json.dumps(str(data.resolve()))}")
    loaded = load_recipe(recipe, overrides)
    try:
        from everypose.training import estimate  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError("checking a recipe", "train") from error
    _report(loaded, with_data=data is not None)


def _report(recipe: "Recipe", *, with_data: bool) -> None:
    """Check a valid recipe's network and data, and print the estimates."""
    from everypose.training.estimate import count_steps, estimate_step, measure_flops
    from everypose.training.preflight import check_run
    from everypose.training.run import make_task
    from everypose.training.run_logs import require_loggers

    require_loggers(recipe)
    keypoints, samples, network = 17, 0, recipe.model
    unit = "images" if recipe.model.task == "single-stage" else "people"
    if with_data:
        task = make_task(recipe)
        check_run(recipe, task)
        task.make_network()
        keypoints, samples, network = len(task.config.skeleton), len(task.samples), task.config.network
    is_complete = with_data or recipe.model.task != "mixture"  # a mixture's data gives its network the data sets
    step = estimate_step(recipe, keypoints, settings=network) if is_complete else None
    print(f"{recipe.name or 'recipe'}: every field is valid")
    print(f"data: {samples:,} {unit} in an epoch" if with_data else "data: not checked; give --data FOLDER")
    if step is None:
        return
    print(f"network: {recipe.model.family}, {with_unit(step.parameters, COUNTS)} parameters")
    print(
        f"memory: about {with_unit(step.state_bytes + step.activation_bytes, BYTES)} a process in float32 "
        f"({with_unit(step.state_bytes, BYTES)} weights and optimizer, "
        f"{with_unit(step.activation_bytes, BYTES)} activations)"
    )
    steps = count_steps(recipe, samples) if samples else recipe.schedule.steps
    if not steps:
        print(f"steps: those of {recipe.schedule.epochs:g} epochs; their number needs --data")
        return
    speed = measure_flops()
    print(f"steps: {steps:,} of {recipe.trainer.batch * recipe.trainer.accumulate} {unit}")
    time = with_unit(steps * step.flops / speed, DURATIONS)
    print(f"time: at least {time} here, at {with_unit(speed, COUNTS)} operations a second")
