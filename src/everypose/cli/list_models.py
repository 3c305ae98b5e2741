"""``everypose models``: list the catalog of models."""

import json
from typing import Annotated

import typer


def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False) -> None:
    """List the models of the catalog; folders, files and hub ids work wherever a name does.

    Example: everypose models
    """
    from everypose.models.catalog import MODELS

    if as_json:
        rows = [
            {"name": each.name, "bundled": each.file is not None, "description": each.description} for each in MODELS
        ]
        print(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", no_wrap=True), "weights", "description")
    for each in MODELS:
        table.add_row(each.name, "bundled" if each.file else "import or train", each.description)
    Console().print(table)
