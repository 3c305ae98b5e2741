"""Label Studio's ML backend protocol: ``/setup``, ``/predict`` and ``/webhook``; its ``/health`` is the service's own.

Images of tasks are fetched from the Label Studio server that the service was started with, and from nowhere else.
"""

import asyncio
import base64
import json
import re
import urllib.parse
import urllib.request
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from everypose.core.validation import explain
from everypose.errors import EveryposeError
from everypose.integrations.label_studio import Controls, prediction, read_controls
from everypose.people import People
from everypose.serving.failures import RequestError, UnprocessableError
from everypose.serving.image_check import check_image
from everypose.serving.request_body import Upload, received
from everypose.serving.routes import authorization, problems
from everypose.serving.service import Service
from everypose.serving.worker_process import Task

MOST_TASKS = 100
UNQUOTED = "%/:@!$&'()*+,;=?~"
"""Characters of paths and queries that are not encoded, or begin what already is (RFC 3986, section 3.3)."""
DIGITS = 12
"""Of the SHA-256 in the name of a model's version."""
_DATA_ADDRESS = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


@dataclass(frozen=True)
class LabelStudio:
    """The Label Studio server that requests predictions.

    >>> LabelStudio("http://localhost:8080").url_of("/data/upload/1/a.jpg")
    'http://localhost:8080/data/upload/1/a.jpg'

    Attributes:
        address: its web address, such as ``http://localhost:8080``.
        token: access token for fetching images; empty if none is needed.
    """

    address: str
    token: str = ""

    def url_of(self, image: str) -> str:
        """Return the address to fetch an image from.

        Raises:
            UnprocessableError: if it is not on this server.
        """
        own = urllib.parse.urlsplit(self.address)
        try:
            url = urllib.parse.urlsplit(urllib.parse.urljoin(self.address.rstrip("/") + "/", image))
            is_own = (url.scheme, url.hostname, url.port) == (own.scheme, own.hostname, own.port)
        except ValueError:
            is_own = False
        if not is_own or url.username is not None or "\\" in image:
            raise UnprocessableError("the image is not on the Label Studio server that this service serves")
        # Addresses in tasks are often not encoded, as in /data/local-files/?d=my photos/Zoë.jpg.
        path, query = (urllib.parse.quote(part, UNQUOTED, errors="replace") for part in (url.path, url.query))
        return urllib.parse.urlunsplit(url._replace(path=path, query=query))


class LabelStudioTask(BaseModel):
    """A task; other fields are ignored.

    >>> LabelStudioTask.model_validate({"id": 1, "data": {"image": "/data/upload/1/a.jpg"}, "meta": {}}).data
    {'image': '/data/upload/1/a.jpg'}
    """

    model_config = ConfigDict(extra="ignore")

    id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class PredictRequest(BaseModel):
    """Label Studio's request for predictions; other fields are ignored.

    >>> len(PredictRequest.model_validate({"tasks": [{"id": 1}, {"id": 2}]}).tasks)
    2
    """

    model_config = ConfigDict(extra="ignore")

    tasks: list[LabelStudioTask] = Field(max_length=MOST_TASKS)
    label_config: str = ""


class PredictAnswer(BaseModel):
    """A prediction for each task, in their order.

    >>> PredictAnswer(results=[]).model_dump_json()
    '{"results":[]}'
    """

    results: list[dict[str, Any]]


class SetupAnswer(BaseModel):
    """The model that will answer.

    >>> SetupAnswer(model_version="boir-lite").model_dump_json()
    '{"model_version":"boir-lite"}'
    """

    model_version: str


def label_studio_routes(service: Service, server: LabelStudio) -> APIRouter:
    """Create the routes that Label Studio calls; its basic-auth password is a token of the service.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> from everypose.serving.pool import ModelPool
    >>> from everypose.serving.settings import ModelOptions
    >>> pools = {"boir-lite": ModelPool(ModelOptions(model="boir-lite"), ServerSettings())}
    >>> service = Service(ServerSettings(), pools, Tokens([]), Metrics({}), RequestLog())
    >>> sorted(route.path for route in label_studio_routes(service, LabelStudio("http://localhost:8080")).routes)
    ['/predict', '/setup', '/webhook']
    """
    router = APIRouter(dependencies=[authorization(service)], responses=problems(401, 403), tags=["Label Studio"])
    model = next(iter(service.pools))

    @router.post("/setup", summary="Label Studio: which model answers", responses=problems(408, 413, 415, 422))
    async def setup(request: Request) -> SetupAnswer:
        async with _json_body(request, service):
            return SetupAnswer(model_version=_version_of(service, model))

    @router.post(
        "/predict",
        summary="Label Studio: predictions for tasks",
        response_model=PredictAnswer,
        responses=problems(400, 408, 413, 415, 422, 429, 503, 504),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": PredictRequest.model_json_schema()}},
            }
        },
    )
    async def predict(request: Request) -> PredictAnswer:
        async with _json_body(request, service) as upload:
            try:
                asked = PredictRequest.model_validate_json(upload.content)
                controls = read_controls(asked.label_config)
            except ValidationError as error:
                raise UnprocessableError(explain(error, PredictRequest)) from error
            except (ValueError, EveryposeError) as error:
                raise UnprocessableError(str(error).splitlines()[0]) from error
            results = [await _predict(service, server, task, controls, model) for task in asked.tasks]
            return PredictAnswer(results=results)

    @router.post("/webhook", summary="Label Studio: events, which are ignored", status_code=201)
    async def webhook() -> JSONResponse:
        return JSONResponse({}, 201)

    return router


def _json_body(request: Request, service: Service) -> AbstractAsyncContextManager[Upload]:
    """The body of a request, within the limits of an image's."""
    settings = service.settings
    return received(
        request,
        "tasks",
        ("application/json",),
        limit=settings.max_bytes,
        seconds=settings.body_timeout,
        memory=service.memory,
    )


async def _predict(
    service: Service, server: LabelStudio, task: LabelStudioTask, controls: Controls, model: str
) -> dict[str, Any]:
    """The prediction for one task; an empty one, with a line in the log, when its image cannot be used."""
    try:
        content = await _fetch(str(task.data.get(controls.image_key, "")), server, service)
        pixels = check_image(content, service.settings.max_pixels)
        answer = await service.pool(model).run(Task(content, pixels))
        return prediction(_people(answer.content), controls, _version_of(service, model))
    except RequestError as failure:
        if failure.retry_after is not None:
            raise
        detail = failure.detail
    except EveryposeError as error:
        detail = str(error)
    service.log.write("no prediction", task=task.id, detail=detail)
    return {"model_version": _version_of(service, model), "score": 0.0, "result": []}


def _version_of(service: Service, model: str) -> str:
    """The name by which Label Studio keeps a model's predictions apart: its name and the start of its weights' hash."""
    digest = service.pool(model).description["weights"]["sha256"]
    return model if digest is None else f"{model}-{digest[:DIGITS]}"


def _people(content: bytes) -> People:
    """The people of an answer, with a blank image of the right size."""
    size = json.loads(content)["image"]
    blank = np.broadcast_to(np.zeros(1, np.uint8), (size["height"], size["width"], 3))
    return People.from_json(content.decode(), image=blank)


async def _fetch(image: str, server: LabelStudio, service: Service) -> bytes:
    """The bytes of a task's image: in the task itself, or on the Label Studio server."""
    if found := _DATA_ADDRESS.match(image):
        try:
            return base64.b64decode(image[found.end() :], validate=True)
        except ValueError as error:
            raise UnprocessableError("the image of the task is not base64") from error
    url = server.url_of(image)
    settings = service.settings
    return await asyncio.to_thread(_download, url, server.token, settings.max_bytes, settings.body_timeout)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: they may lead to another server."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none."""


def _download(url: str, token: str, limit: int, seconds: float) -> bytes:
    """Fetch a file of at most ``limit`` bytes."""
    request = urllib.request.Request(url, headers={"Authorization": f"Token {token}"} if token else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
    try:
        with opener.open(request, timeout=seconds) as answer:
            content: bytes = answer.read(limit + 1)
            missing: int = answer.length or 0  # http.client does not compare it with what came
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise UnprocessableError(f"the image cannot be fetched from Label Studio: {reason}") from error
    if len(content) > limit:
        raise UnprocessableError(f"the image has more than {limit:,} bytes")
    if missing:
        raise UnprocessableError("the image cannot be fetched from Label Studio: the connection ended before its end")
    return content
