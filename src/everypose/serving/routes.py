"""Routes of the HTTP API for images, and those about the service itself."""

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, params
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from everypose.serving.failures import UnauthorizedError
from everypose.serving.image_check import check_image
from everypose.serving.rendering import FORMATS, MODEL_HEADER, model_header
from everypose.serving.request_body import received
from everypose.serving.schemas import (
    CocoResult,
    Health,
    Info,
    Limits,
    ModelDescription,
    ModelList,
    OpenPoseAnswer,
    PoseOptions,
    PosesAnswer,
    Problem,
    Readiness,
)
from everypose.serving.service import Service, merge_fields, unless_gone
from everypose.serving.worker_process import Task
from everypose.skeleton.skeleton import Skeleton

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is malformed."},
    401: {"model": Problem, "description": "No valid token."},
    403: {"model": Problem, "description": "The host name or web origin is not accepted."},
    404: {"model": Problem, "description": "There is no such model or job."},
    408: {"model": Problem, "description": "The body did not arrive in time."},
    409: {"model": Problem, "description": "The result is not there yet; see Retry-After."},
    413: {"model": Problem, "description": "Too many bytes or pixels."},
    415: {"model": Problem, "description": "No kind of content that the service reads."},
    422: {"model": Problem, "description": "An option or the image cannot be used."},
    429: {"model": Problem, "description": "Too many requests are waiting; see Retry-After."},
    500: {"model": Problem, "description": "The model failed."},
    503: {"model": Problem, "description": "No worker can answer now; see Retry-After."},
    504: {"model": Problem, "description": "The answer took too long."},
}
BINARY = {"type": "string", "format": "binary"}
STATES_MODEL = {
    MODEL_HEADER: {
        "description": "Name, revision and SHA-256 of the model's weights, as a JSON object.",
        "schema": {"type": "string"},
    }
}
"""The OpenAPI description of the header of answers with people."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of failures with these HTTP statuses.

    >>> problems(404)[404]["description"]
    'There is no such model or job.'
    """
    return {status: PROBLEMS[status] for status in statuses}


def upload_body(name: str, media_type: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is a file, or a form with a file.

    >>> sorted(upload_body("image", "image/*")["requestBody"]["content"])
    ['application/octet-stream', 'image/*', 'multipart/form-data']
    """
    form = {"type": "object", "required": [name], "properties": {name: BINARY}}
    content = {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": BINARY},
        media_type: {"schema": BINARY},
    }
    return {"requestBody": {"required": True, "content": content}}


def authorization(service: Service) -> params.Depends:
    """Create a dependency that refuses requests without a valid token.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> authorization(service).dependency.__name__
    'authorize'
    """
    bearer = HTTPBearer(auto_error=False, description="A token of the server's token file; not needed without one.")

    async def authorize(request: Request, _: Annotated[object, Depends(bearer)]) -> None:
        if not service.tokens.accept(request.headers.get("authorization")):
            raise UnauthorizedError("a valid token is needed: Authorization: Bearer TOKEN")

    return params.Depends(authorize)


def pose_routes(service: Service) -> APIRouter:
    """Create the routes ``POST /v1/poses`` and ``GET /v1/models``.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> sorted(route.path for route in pose_routes(service).routes)
    ['/v1/models', '/v1/poses']
    """
    router = APIRouter(dependencies=[authorization(service)], responses=problems(401, 403))
    settings = service.settings

    @router.post(
        "/v1/poses",
        summary="Find the people in one image",
        response_model=PosesAnswer | list[CocoResult] | OpenPoseAnswer,
        responses={
            200: {
                "description": "The people, in the requested format.",
                "headers": STATES_MODEL,
                "content": {
                    "image/jpeg": {"schema": BINARY},
                    "image/png": {"schema": BINARY},
                    "text/csv": {"schema": {"type": "string"}},
                },
            },
            **problems(400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
        },
        openapi_extra=upload_body("image", "image/*"),
    )
    async def poses(request: Request, query: Annotated[PoseOptions, Query()]) -> Response:
        service.check(query)
        async with received(
            request,
            "image",
            ("image/",),
            limit=settings.max_bytes,
            seconds=settings.body_timeout,
            memory=service.memory,
        ) as upload:
            options = merge_fields(query, upload.fields)
            service.check(options)
            pool = service.pool(options.model)
            pixels = check_image(upload.content, settings.max_pixels)
            task = Task(upload.content, pixels, options.format, options.min_score, options.skeleton, options.image_id)
            answer = await unless_gone(request, pool.run(task))
        service.metrics.people.labels(pool.description["name"]).inc(answer.people)
        service.metrics.batches.labels(pool.description["name"]).observe(answer.batch)
        headers = model_header(pool.description["weights"])
        return Response(answer.content, media_type=answer.media_type, headers=headers)

    @router.get("/v1/models", summary="The loaded models")
    async def models() -> ModelList:
        described = [ModelDescription(**pool.description, ready=pool.is_ready) for pool in service.pools.values()]
        return ModelList(models=described, skeletons=Skeleton.names())

    return router


def service_routes(service: Service) -> APIRouter:
    """Create the routes ``/health``, ``/ready``, ``/info`` and ``/metrics``.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> sorted(route.path for route in service_routes(service).routes)
    ['/health', '/info', '/metrics', '/ready']
    """
    router = APIRouter(responses=problems(403))

    @router.get("/health", summary="Whether the service runs")
    async def health() -> Health:
        return Health(status="UP", model_class="everypose")

    @router.get(
        "/ready",
        summary="Whether every model can answer",
        responses={503: {"model": Readiness, "description": "A model cannot answer, or the service is stopping."}},
    )
    async def ready(response: Response) -> Readiness:
        states = {
            name: "ready" if pool.is_ready else pool.problem or "starting" for name, pool in service.pools.items()
        }
        if service.stopping:
            states = dict.fromkeys(states, "stopping")
        is_ready = set(states.values()) == {"ready"}
        response.status_code = 200 if is_ready else 503
        return Readiness(ready=is_ready, models=states)

    @router.get("/info", summary="Version, models and limits")
    async def info() -> Info:
        settings = service.settings
        return Info(
            name="everypose",
            version=version("everypose"),
            models=list(service.pools),
            formats=list(FORMATS),
            limits=Limits(**{name: getattr(settings, name) for name in Limits.model_fields}),
            token_required=len(service.tokens) > 0,
        )

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        dependencies=[authorization(service)],
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401)},
    )
    async def metrics() -> Response:
        return Response(service.metrics.to_text(), media_type=CONTENT_TYPE_LATEST)

    return router
