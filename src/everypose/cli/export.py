"""``everypose export``: convert a model to one ONNX file."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from everypose.models.locate import ModelFile


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, a released checkpoint or a hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of a model of several data sets: the one to export, or all. [default: its first]"
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in 16 bits and compute in 32: half the file size.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize the backbone to 8 bits: faster on a CPU, slightly less accurate.")
    ] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(metavar="PHOTOS", help="Photos that calibrate --int8: a file, folder or glob; repeatable."),
    ] = None,
) -> None:
    """Export a model to one ONNX file: uint8 images in, keypoints and scores out.

    The file takes any number of images of any size that is a multiple of the model's step (16 to 64 pixels), with and
    without the flip test. Heads that only training needs are not exported. --int8 needs some dozens of photos to
    measure the range of activations.

    Example: everypose export models/boir-w32-coco -o boir-w32-coco.onnx
    """
    from everypose.models.locate import resolve

    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of an exported model ends in .onnx")
    if int8 != bool(calibrate):
        raise UsageError("--int8 and --calibrate PHOTOS go together: the photos calibrate the 8-bit ranges")
    if int8 and half:
        raise UsageError("--half and --int8 cannot be combined: choose one")
    file = resolve(model)
    if file.kind == "onnx" and not int8:
        raise UsageError(f"{file.path} is an ONNX file already")
    try:
        if int8:
            from everypose.export.int8 import quantize

            with tempfile.TemporaryDirectory() as folder:
                seen = quantize(_as_onnx(file, Path(folder, "float.onnx"), skeleton, half), calibrate or [], out)
            note = f", int8 by {seen} photos"
        else:
            _as_onnx(file, out, skeleton, half)
            note = ""
    except ModuleNotFoundError as error:
        raise MissingDependencyError("exporting", "export") from error
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB{note}")


def _as_onnx(file: "ModelFile", path: Path, skeleton: str | None, half: bool) -> Path:
    """The model as an ONNX file: its own, or one written to ``path``."""
    if file.kind == "onnx":
        if skeleton is not None:
            raise UsageError(f"{file.path} is an ONNX file, which has one skeleton: leave --skeleton out")
        return file.path
    from everypose.export.onnx import export_onnx
    from everypose.inference.runtimes.torch import read_network

    export_onnx(*read_network(file, skeleton), path, half)
    return path
