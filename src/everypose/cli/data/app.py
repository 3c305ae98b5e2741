"""``everypose data``: the commands about data sets, each in a file of its own."""

import typer

from everypose.cli.data.convert import convert, join
from everypose.cli.data.crowd import crowd
from everypose.cli.data.doctor import doctor
from everypose.cli.data.shared_images import overlap
from everypose.cli.data.sigmas import sigmas

data_app = typer.Typer(
    help="Look into data sets and make new ones.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app.command()(doctor)
data_app.command()(overlap)
data_app.command()(convert)
data_app.command()(join)
data_app.command()(sigmas)
data_app.command()(crowd)
