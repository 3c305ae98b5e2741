"""Runs the service on a port: loads the models, listens, and stops without losing requests."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from everypose.errors import EveryposeError, UsageError
from everypose.serving.app import create_app
from everypose.serving.http_protocol import protocol_with_timeouts
from everypose.serving.label_studio import LabelStudio
from everypose.serving.metrics import Metrics
from everypose.serving.pool import ModelPool
from everypose.serving.request_log import JsonLines, RequestLog
from everypose.serving.service import Service
from everypose.serving.settings import ModelOptions, ServerSettings
from everypose.serving.tokens import Tokens

LARGEST_HEADER = 32_768


@dataclass(frozen=True)
class Certificate:
    """A TLS certificate.

    >>> Certificate(Path("chain.pem"), Path("key.pem")).key.name
    'key.pem'

    Attributes:
        chain: PEM file of the certificate chain.
        key: PEM file of its private key.
    """

    chain: Path
    key: Path


def serve(
    models: Sequence[ModelOptions],
    settings: ServerSettings,
    *,
    tokens: Tokens | None = None,
    certificate: Certificate | None = None,
    label_studio: LabelStudio | None = None,
    log: RequestLog | None = None,
) -> None:
    """Serve models until SIGTERM or SIGINT.

    Requests that have arrived then get ``settings.grace`` seconds to finish.

    Args:
        models: the models and their options.
        settings: limits and timeouts.
        tokens: the tokens that authorize requests; by default all requests are accepted.
        certificate: TLS certificate; None for HTTP.
        label_studio: the Label Studio server that may request predictions; None for none.
        log: receives one line for each request; standard error by default.

    Raises:
        EveryposeError: if a model cannot be loaded, or the address cannot be listened on.
        UsageError: if two models have one name, or the certificate cannot be used.
    """
    request_log = log or RequestLog()
    asyncio.run(_serve(models, settings, tokens or Tokens([]), certificate, label_studio, request_log))


async def _serve(
    models: Sequence[ModelOptions],
    settings: ServerSettings,
    tokens: Tokens,
    certificate: Certificate | None,
    label_studio: LabelStudio | None,
    log: RequestLog,
) -> None:
    listener = _listen(settings)
    service = await _start_service(models, settings, tokens, log)
    try:
        config = _config(service, certificate, label_studio)
    except (OSError, ValueError) as error:
        for pool in service.pools.values():
            await pool.close()
        raise UsageError(f"the certificate or its key cannot be used: {error}") from error
    host, port = listener.getsockname()[:2]
    scheme = "https" if certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    log.write("listening", url=f"{scheme}://{shown}:{port}", models=", ".join(service.pools))
    await _Server(config, service).serve([listener])


async def _start_service(
    models: Sequence[ModelOptions], settings: ServerSettings, tokens: Tokens, log: RequestLog
) -> Service:
    """Load all models.

    Raises:
        EveryposeError: if a model cannot be loaded.
        UsageError: if two models have one name.
    """
    pools: dict[str, ModelPool] = {}
    metrics = Metrics(pools)
    service = Service(settings, pools, tokens, metrics, log)
    try:
        for model in models:
            pool = ModelPool(model, settings, lambda name: _note_restart(service, name))
            await pool.start()
            name = pool.description["name"]
            if name in pools:
                await pool.close()
                raise UsageError(f"two models are named {name!r}: a service needs a name for each")
            pools[name] = pool
    except BaseException:
        for pool in pools.values():
            await pool.close()
        raise
    return service


def _note_restart(service: Service, model: str) -> None:
    """Count and log a worker that ended unexpectedly."""
    service.metrics.restarts.labels(model).inc()
    service.log.write("worker ended", model=model)


def _listen(settings: ServerSettings) -> socket.socket:
    """A socket that listens, so that a port in use is known before models are loaded."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=settings.connections)
    except OSError as error:
        raise EveryposeError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}"
        ) from error


def _config(service: Service, certificate: Certificate | None, label_studio: LabelStudio | None) -> uvicorn.Config:
    settings = service.settings
    config = uvicorn.Config(
        create_app(service, label_studio),
        http=protocol_with_timeouts(settings.header_timeout, settings.timeout),
        ws="websockets-sansio",
        ws_max_size=settings.max_bytes,
        ws_max_queue=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
        h11_max_incomplete_event_size=LARGEST_HEADER,
        ssl_certfile=certificate.chain if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    _log_as_json(service.log)
    config.load()
    return config


def _log_as_json(log: RequestLog) -> None:
    """Send warnings of the HTTP server through the request log."""
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [JsonLines(log)]
        logger.setLevel(logging.WARNING)
        logger.propagate = False


class _Server(uvicorn.Server):
    """Uvicorn's server; its exit code is 0 after SIGTERM and SIGINT."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> Any:  # noqa: ARG002
        """Stop; the second signal does not wait for requests."""
        self._service.stopping = True
        self.force_exit = self.should_exit
        self.should_exit = True
