"""``everypose data``: commands for data sets, one a file."""

import typer

from everypose.cli.data.convert import convert, join
from everypose.cli.data.crowd import crowd
from everypose.cli.data.doctor import doctor
from everypose.cli.data.mine import mine
from everypose.cli.data.prepare import prepare
from everypose.cli.data.shared_images import overlap
from everypose.cli.data.sigmas import sigmas
from everypose.cli.data.statistics import statistics

data_app = typer.Typer(
    help="Check, describe, convert and compose data sets.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app.command()(doctor)
data_app.command()(overlap)
data_app.command()(prepare)
data_app.command()(convert)
data_app.command()(join)
data_app.command()(sigmas)
data_app.command()(statistics)
data_app.command()(crowd)
data_app.command()(mine)
