"""``everypose serve``: the service for images, videos and streams."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everypose.cli.evaluation_options import DEVICE_HELP, FamilyOption, SizeOption
from everypose.errors import MissingDependencyError, UsageError
from everypose.models.default_names import DEFAULT_MODEL

if TYPE_CHECKING:
    from everypose.serving.label_studio import LabelStudio
    from everypose.serving.server import Certificate

MEBIBYTE = 2**20


def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name of 'everypose models', a folder, a file or a hub id; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with one token a line; clients must then send one.")
    ] = None,
    host_name: Annotated[
        list[str] | None, typer.Option(help="A Host header that is accepted; repeatable. [default: any]")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web origin that CORS allows; repeatable. [default: none]")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file of a TLS certificate chain.")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    label_studio: Annotated[
        str | None, typer.Option(metavar="URL", help="Serve predictions to the Label Studio at this address, too.")
    ] = None,
    label_studio_token: Annotated[
        Path | None, typer.Option(help="File with Label Studio's access token, by which images are fetched.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes for each model.", min=1, max=64)] = 1,
    queue: Annotated[int, typer.Option(help="Requests that may wait for a model; more get status 429.", min=1)] = 64,
    timeout: Annotated[float, typer.Option(help="Seconds from a request to its answer.", min=0.1)] = 60,
    header_timeout: Annotated[float, typer.Option(help="Seconds for a request's header to arrive.", min=0.1)] = 10,
    body_timeout: Annotated[float, typer.Option(help="Seconds for a request's body to arrive.", min=0.1)] = 30,
    grace: Annotated[float, typer.Option(help="Seconds that requests get to finish on a stop.", min=0)] = 30,
    streams: Annotated[int, typer.Option(help="Largest number of open streams.", min=0)] = 16,
    stream_idle: Annotated[float, typer.Option(help="Seconds without a frame that close a stream.", min=0.1)] = 60,
    max_mb: Annotated[float, typer.Option(help="Largest image, in MiB.", min=0.001)] = 20,
    max_video_mb: Annotated[float, typer.Option(help="Largest video, in MiB.", min=0.001)] = 200,
    max_megapixels: Annotated[float, typer.Option(help="Largest image, in decoded megapixels.", min=0.001)] = 64,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Test-time flip augmentation.")] = False,
    min_score: Annotated[
        float | None, typer.Option(help="Lowest person score. [default: the model's]", min=0, max=1)
    ] = None,
    detector: Annotated[str | None, typer.Option(help="Gives a top-down model its boxes. [default: picodet-s]")] = None,
    size: SizeOption = None,
    family: FamilyOption = None,
    batch: Annotated[
        int | None, typer.Option(help="Images in one pass through the network. [default: 1 or 4]", min=1)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each worker. [default: the runtime's choice]", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "cpu",
) -> None:
    """Answer requests over HTTP: POST /v1/poses, a web page at /, the API at /docs.

    The service listens on this computer only, unless --host says otherwise. It writes one JSON line a request to
    standard error, and no image to the disk. SIGTERM and Ctrl-C let requests finish first.

    Example: everypose serve -m boir-lite --port 8000
    """
    try:
        from everypose.serving.server import serve as serve_models
        from everypose.serving.settings import LOOPBACK, ModelOptions, ServerSettings
        from everypose.serving.tokens import Tokens
    except ImportError as error:
        raise MissingDependencyError("everypose serve", "serve") from error

    options: dict[str, Any] = {
        "device": device,
        "flip": flip,
        "min_score": min_score,
        "detector": detector,
        "size": size,
        "family": family,
        "batch_size": batch,
        "threads": threads,
    }
    given = {name: value for name, value in options.items() if value is not None}
    settings = ServerSettings(
        host=host,
        port=port,
        workers=workers,
        queue=queue,
        timeout=timeout,
        header_timeout=header_timeout,
        body_timeout=body_timeout,
        grace=grace,
        streams=streams,
        stream_idle=stream_idle,
        max_bytes=round(max_mb * MEBIBYTE),
        max_video_bytes=round(max_video_mb * MEBIBYTE),
        max_pixels=round(max_megapixels * 1e6),
        origins=tuple(allow_origin or ()),
        hosts=tuple(host_name or ()),
    )
    if token_file is None and settings.host not in LOOPBACK:
        print(
            f"everypose: anyone who reaches {settings.host} may use the service: --token-file restricts it",
            file=sys.stderr,
        )
    serve_models(
        [ModelOptions(model=model, options=given) for model in models or [DEFAULT_MODEL]],
        settings,
        tokens=None if token_file is None else Tokens.read(token_file),
        certificate=_certificate(certificate, certificate_key),
        label_studio=_label_studio(label_studio, label_studio_token),
    )


def _certificate(chain: Path | None, key: Path | None) -> "Certificate | None":
    """The TLS certificate, when one is given."""
    from everypose.serving.server import Certificate

    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise UsageError("TLS needs both --certificate and --certificate-key")
    for file in (chain, key):
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
    return Certificate(chain, key)


def _label_studio(address: str | None, token_file: Path | None) -> "LabelStudio | None":
    """The Label Studio server, when one is given."""
    from everypose.serving.label_studio import LabelStudio

    if address is None:
        if token_file is not None:
            raise UsageError("--label-studio-token is for the server that --label-studio names")
        return None
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"--label-studio {address}: give a web address, such as http://localhost:8080")
    try:
        token = "" if token_file is None else token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {token_file}: {error}") from error
    return LabelStudio(address, token)
