"""``everypose reproduce``: the papers' tables, published numbers next to this installation's."""

import json
from pathlib import Path
from typing import Annotated

import typer

from everypose.errors import UsageError


def reproduce(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE...", help="Names of tables, or all. [default: list the names]")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The folder that holds the data sets.")] = None,
    models: Annotated[
        Path | None, typer.Option("--models", help="A folder of models, each named as in 'everypose models'.")
    ] = None,
    boxes: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET-SPLIT=FILE", help="Detections (COCO results) for rows with a detector's boxes."),
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Another model to run on the tables' data; repeatable.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of records, which are not made again, and tables (.md).")
    ] = Path("everypose-reproduce"),
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run what has no record yet.")] = True,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Flip test, as in the papers.")] = True,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Print tables of the BoIR, MIPNet and PoseBH papers with published numbers and your own.

    Each result whose model and data are there is evaluated by the table's protocol. Rows that cannot be run remain,
    with the reason.

    Example: everypose reproduce mipnet-2 --data data --models models
    """
    from everypose.core.files import write_text
    from everypose.studies import reproduction
    from everypose.studies.paper_tables import find_tables, paper_tables

    if not tables:
        for table in paper_tables():
            print(f"{table.name:18} {table.title}")
        return
    chosen = find_tables(tables)
    resources = reproduction.Resources(
        data,
        models,
        out / "records",
        parse_boxes(boxes or []),
        extra or (),
        run=run,
        flip=flip,
        device=device,
        quiet=quiet,
    )
    contents, failed = [], []
    for table in chosen:
        rows = reproduction.reproduce(table, resources)
        failed += [f"{row.published.model} on {row.published.dataset}: {row.reason}" for row in rows if row.failed]
        text = reproduction.table_markdown(table, rows)
        write_text(out / f"{table.name}.md", text + "\n")
        contents.append(reproduction.table_content(table, rows))
        if not (as_json or quiet):
            print(f"{text}\n")
    if as_json:
        print(json.dumps(contents))
    for line in failed:
        typer.echo(f"everypose: {line}", err=True)
    if failed:
        raise typer.Exit(1)


def parse_boxes(pairs: list[str]) -> dict[str, Path]:
    """Read ``DATASET-SPLIT=FILE`` pairs.

    Raises:
        UsageError: if a pair has another form, or there is no such file.

    >>> parse_boxes([])
    {}
    """
    files = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or "-" not in name:
            raise UsageError(f"--boxes {pair!r} must be DATASET-SPLIT=FILE, such as coco-val=detections.json")
        if not Path(file).is_file():
            raise UsageError(f"--boxes {pair!r}: there is no file {file}")
        files[name] = Path(file)
    return files
