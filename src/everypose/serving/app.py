"""The ASGI application: routes, middleware, and errors as JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from everypose.core.validation import explain_problem
from everypose.serving.failures import ClientGoneError, RequestError, UnauthorizedError
from everypose.serving.guard import Guard
from everypose.serving.label_studio import LabelStudio, label_studio_routes
from everypose.serving.rendering import MODEL_HEADER
from everypose.serving.routes import pose_routes, service_routes
from everypose.serving.service import Service
from everypose.serving.stream import stream_routes
from everypose.serving.video_routes import video_routes
from everypose.serving.web_page import page_routes

DESCRIPTION = "Finds every person's keypoints in images, videos and streams of frames."


def create_app(service: Service, label_studio: LabelStudio | None = None) -> FastAPI:
    """Create the application of a service; its models are closed when the application shuts down.

    Args:
        service: the state that all routes share, with loaded models.
        label_studio: the Label Studio server that may request predictions; None for none.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> sorted(create_app(service).openapi()["paths"])[:4]
    ['/health', '/info', '/metrics', '/ready']
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.jobs.close()
        for pool in service.pools.values():
            await pool.close()

    app = FastAPI(
        title="everypose",
        version=version("everypose"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # these load scripts from the network; the API page does not
        redoc_url=None,
    )
    app.include_router(pose_routes(service))
    app.include_router(service_routes(service))
    app.include_router(stream_routes(service))
    app.include_router(video_routes(service))
    app.include_router(page_routes())
    if label_studio is not None:
        app.include_router(label_studio_routes(service, label_studio))
    _add_failure_handlers(app)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=[MODEL_HEADER],
        )
    app.add_middleware(
        Guard,
        hosts=service.settings.accepted_hosts,
        origins=service.settings.origins,
        metrics=service.metrics,
        log=service.log,
    )
    return app


def _add_failure_handlers(app: FastAPI) -> None:
    """Answer every failure with ``{"detail": "one line"}``."""

    @app.exception_handler(RequestError)
    async def failed(_: Request, failure: RequestError) -> JSONResponse:
        headers = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
        if isinstance(failure, UnauthorizedError):
            headers["www-authenticate"] = "Bearer"
        return JSONResponse({"detail": failure.detail}, failure.status, headers)

    @app.exception_handler(ClientGoneError)
    async def gone(_request: Request, _error: ClientGoneError) -> Response:
        return Response(status_code=499)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        problem = cast(ErrorDetails, {**first, "loc": first["loc"][1:]})  # without "query" or "path"
        return JSONResponse({"detail": explain_problem(problem)}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405 and (methods := _methods(app, request)):
            headers["allow"] = ", ".join(methods)
        return JSONResponse({"detail": str(error.detail)}, error.status_code, headers)

    @app.exception_handler(Exception)
    async def defect(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "internal error: see the log of the service"}, 500)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that a path supports; the framework itself names those of its first route only."""
    path = getattr(request.scope.get("route"), "path", "")
    return sorted(method.upper() for method in app.openapi()["paths"].get(path, {}))
