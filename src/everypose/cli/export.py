"""``everypose export``: a model into one ONNX file."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, an authors' checkpoint or a hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
) -> None:
    """Export a model to one ONNX file: uint8 images in, keypoints and scores out.

    The file serves any number of images of any size that is a multiple of 64, with and without the flip test.
    Heads that only training needs are left out.

    Example: everypose export models/boir-w32-coco -o boir-w32-coco.onnx
    """
    from everypose.errors import MissingDependencyError, UsageError
    from everypose.models import resolve

    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of an exported model ends in .onnx")
    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is an ONNX file already")
    try:
        from everypose.export import export_onnx
        from everypose.networks import load_model
        from everypose.released.checkpoints import import_checkpoint
    except ImportError as error:
        raise MissingDependencyError("exporting", "export") from error
    network, config = import_checkpoint(file.path) if file.kind == "checkpoint" else load_model(file.path)
    export_onnx(network, config, out)
    print(f"{out}: {config.name}, {out.stat().st_size / 1e6:.1f} MB")
