"""``everypose export``: convert a model to one ONNX file."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everypose.cli.evaluation_options import FamilyOption
from everypose.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from everypose.models.locate import ModelFile


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name of 'everypose models', a folder, a released checkpoint, an .onnx file or a hub id.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
    skeleton: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of a model of several data sets: the one to export, or all. [default: its first]"
        ),
    ] = None,
    family: FamilyOption = None,
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
    measure the range of activations. RTMPose, RTMW, RTMO, DETRPose and easy_ViTPose files get
    normalization and decoding inside.

    Example: everypose export rtmpose-m --half -o rtmpose-m.onnx

    Example: everypose export models/boir-w32-coco -o boir-w32-coco.onnx
    """
    from everypose.core.files import refuse_to_replace
    from everypose.models.catalog import find_entry
    from everypose.models.locate import resolve

    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of an exported model ends in .onnx")
    if int8 != bool(calibrate):
        raise UsageError("--int8 and --calibrate PHOTOS go together: the photos calibrate the 8-bit ranges")
    if int8 and half:
        raise UsageError("--half and --int8 cannot be combined: choose one")
    entry = find_entry(model)
    if entry is not None and entry.kind == "detector":
        raise UsageError(f"{model} is a detector, which is used as it is: everypose models get {model} downloads it")
    file = resolve(model)
    refuse_to_replace(out, file.path)
    try:
        if int8:
            from everypose.export.int8 import quantize

            with tempfile.TemporaryDirectory() as folder:
                float_file = _as_onnx(file, Path(folder, "float.onnx"), skeleton, family=family)
                seen = quantize(float_file, calibrate or [], out)
            note = f", int8 by {seen} photos"
        else:
            if _as_onnx(file, out, skeleton, half=half, family=family) != out:
                raise UsageError(f"{file.path} is an ONNX file of everypose already")
            note = ""
    except ModuleNotFoundError as error:
        raise MissingDependencyError("exporting", "export") from error
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB{note}")


def _as_onnx(
    file: "ModelFile", path: Path, skeleton: str | None, *, half: bool = False, family: str | None = None
) -> Path:
    """The model as an ONNX file of everypose: its own, or one written to ``path``."""
    from everypose.export.foreign import export_foreign
    from everypose.export.onnx import export_onnx, store_as_half
    from everypose.inference.runtimes.onnx import is_everypose_model, open_session

    if file.kind != "onnx":
        if family is not None:
            raise UsageError("--family is for ONNX files of other projects")
        from everypose.inference.runtimes.torch import read_network

        export_onnx(*read_network(file, skeleton), path, half)
        return path
    if not is_everypose_model(open_session(file.path, 1)):
        export_foreign(file.path, path, family=family, skeleton=skeleton, half=half)
        return path
    if skeleton is not None or family is not None:
        raise UsageError(f"{file.path} is an ONNX file of everypose, which states both: no --skeleton and no --family")
    if half:
        store_as_half(file.path, path)
    return path if half else file.path
