"""``everypose web-app``: a folder that finds people in a browser."""

from pathlib import Path
from typing import Annotated

import typer


def web_app(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A single-stage model: a name of 'everypose models' or an .onnx file.")
    ] = "boir-lite",
    float_model: Annotated[
        Path | None, typer.Option("--float", help="The same model with float weights, for browsers with WebGPU.")
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(help="The npm package onnxruntime-web: a .tgz file or a folder. [default: fetched with npm]"),
    ] = None,
) -> None:
    """Write a folder with a page that finds people in the browser; any static web server can serve it.

    The page computes with onnxruntime-web, whose files are checked by their SHA-256. No image leaves the browser.

    Example: everypose web-app out/ && python -m http.server -d out
    """
    from everypose.serving.web_app import write_web_app

    config = write_web_app(out, model, float_model=float_model, runtime=runtime)
    print(f"wrote {out}: {config.name} in the browser; to look at it: python -m http.server -d {out}")
