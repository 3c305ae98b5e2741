"""``everypose demo``: run a model on the bundled example images."""

import time
from pathlib import Path
from typing import Annotated

import typer

from everypose.models.default_names import DEFAULT_MODEL


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("everypose-demo"),
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id.")
    ] = DEFAULT_MODEL,
) -> None:
    """Run a model on the example images of the package and draw the people.

    Example: everypose demo -o demo
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    import everypose
    from everypose.inference.inputs import find_images
    from everypose.inference.loading import load
    from everypose.inference.outputs import open_outputs
    from everypose.models.identity import identify_model

    sources = find_images([str(Path(everypose.__file__).parent / "examples")])
    estimator = load(model)
    table = Table("image", "people", "seconds", title=f"{escape(model)} on the example images")
    with open_outputs(out, sources, models={"model": identify_model(model)}) as outputs:
        for source in sources:
            begin = time.monotonic()
            people = estimator(source.path)
            seconds = time.monotonic() - begin
            outputs.add(outputs.save(source, people))
            table.add_row(escape(source.path.name), str(len(people)), f"{seconds:.2f}")
    Console().print(table)
    print(f"Drawn images: {outputs.pictures}, contact sheet: {outputs.sheet}")
