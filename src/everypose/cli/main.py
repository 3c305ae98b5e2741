"""The command line: one file for each command, which imports what it needs when it runs."""

from typing import Annotated

import typer

from everypose.cli.bulk import bulk_app
from everypose.cli.data.app import data_app
from everypose.cli.demo import demo
from everypose.cli.evaluate import compare, evaluate
from everypose.cli.export import export
from everypose.cli.finite_numbers import require_finite_numbers
from everypose.cli.importing import import_model
from everypose.cli.models import models_app
from everypose.cli.predict import predict
from everypose.cli.prototypes import prototypes
from everypose.cli.push import push
from everypose.cli.recipes import recipes_app
from everypose.cli.refine import refine
from everypose.cli.reproduce import reproduce
from everypose.cli.serve import serve
from everypose.cli.study import study_app
from everypose.cli.track import track
from everypose.cli.train import train
from everypose.cli.web_app import web_app
from everypose.core.process_setup import exit_on_signals, hide_native_messages, open_missing_streams, write_any_text
from everypose.errors import exit_on_user_error

app = typer.Typer(
    name="everypose",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(predict)
app.command()(demo)
app.command()(track)
app.command()(refine)
app.command()(train)
app.command()(track)
app.command()(evaluate)
app.command()(compare)
app.command()(reproduce)
app.command()(export)
app.command()(prototypes)
app.command()(serve)
app.command("web-app")(web_app)
app.command("import")(import_model)
app.command()(push)
app.add_typer(data_app, name="data")
app.add_typer(bulk_app, name="bulk")
app.add_typer(study_app, name="study")
app.add_typer(recipes_app, name="recipes")
app.add_typer(models_app, name="models")
require_finite_numbers(app)


def _print_version(wanted: bool) -> None:
    """Print the version and exit, for ``--version``."""
    if wanted:
        import everypose

        print(f"everypose {everypose.__version__}")
        raise typer.Exit


_READ_IMAGES = ("predict", "track", "refine", "demo", "data", "evaluate", "compare", "reproduce", "bulk")
"""Commands that decode images in this process."""


@app.callback()
def everypose(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # its callback has done all
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Every person's pose, in a crowd, with any skeleton.

    Exit codes: 0 done, 1 some inputs failed (each is named), 2 wrong usage.

    Example: everypose predict crowd.jpg -o out
    """
    if context.invoked_subcommand in _READ_IMAGES:
        hide_native_messages()


def main() -> None:
    """Run the command line; a user's error is one line on standard error and its exit code."""
    open_missing_streams()
    write_any_text()
    with exit_on_user_error("everypose"), exit_on_signals("everypose"):
        app(prog_name="everypose")
