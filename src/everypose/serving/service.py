"""The state that all routes share: settings, loaded models, tokens, metrics and log."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from everypose.core.validation import explain
from everypose.serving.failures import ClientGoneError, NotFoundError, UnprocessableError
from everypose.serving.jobs import Jobs
from everypose.serving.metrics import Metrics
from everypose.serving.pool import ModelPool
from everypose.serving.request_body import HeldBytes
from everypose.serving.request_log import RequestLog
from everypose.serving.schemas import ModelRequest, PoseOptions
from everypose.serving.settings import ServerSettings
from everypose.serving.tokens import Tokens
from everypose.skeleton.skeleton import Skeleton

Result = TypeVar("Result")


@dataclass
class Service:
    """A running service.

    Attributes:
        settings: limits and timeouts.
        pools: the workers of each model, by the model's name; the first is the default.
        tokens: what authorizes a request.
        metrics: counters.
        log: the request log.
        memory: bytes of request bodies in memory.
        jobs: the video jobs.
        stopping: whether the service has been asked to stop.

    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> service.memory.limit == service.settings.held_bytes, service.stopping
    (True, False)
    """

    settings: ServerSettings
    pools: Mapping[str, ModelPool]
    tokens: Tokens
    metrics: Metrics
    log: RequestLog
    memory: HeldBytes = field(init=False)
    jobs: Jobs = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        settings = self.settings
        self.memory = HeldBytes(settings.held_bytes)
        self.jobs = Jobs(settings.video_jobs, settings.job_seconds, settings.held_bytes)

    def pool(self, model: str | None) -> ModelPool:
        """The workers of a model, by default of the first.

        Raises:
            NotFoundError: if no model of that name is loaded.
        """
        name = next(iter(self.pools)) if model is None else model
        if name not in self.pools:
            raise NotFoundError(f"no model of this name is loaded; there are {', '.join(self.pools)}")
        return self.pools[name]

    def check(self, options: ModelRequest) -> None:
        """Refuse options that the model cannot fulfill.

        Raises:
            NotFoundError: if there is no such model.
            UnprocessableError: if the threshold is below the model's, or there is no such skeleton.
        """
        lowest = self.pool(options.model).description["min_score"]
        if options.min_score is not None and options.min_score < lowest:
            raise UnprocessableError(
                f"min_score: the service finds people from {lowest:g} on; start it with --min-score for lower ones"
            )
        if options.skeleton is not None and options.skeleton not in Skeleton.names():
            raise UnprocessableError(f"skeleton: unknown; there are {', '.join(Skeleton.names())}")


def merge_fields(options: PoseOptions, fields: Mapping[str, str]) -> PoseOptions:
    """Combine the options of the query with those of the form, which take precedence.

    >>> merge_fields(PoseOptions(format="csv", image_id=3), {"format": "coco"}).model_dump(exclude_none=True)
    {'format': 'coco', 'image_id': 3}

    Raises:
        UnprocessableError: if a field is unknown or has a value that it cannot have.
    """
    try:
        return PoseOptions.model_validate({**options.model_dump(exclude_unset=True), **fields})
    except ValidationError as error:
        raise UnprocessableError(explain(error, PoseOptions)) from error


async def unless_gone(request: Request, work: Awaitable[Result]) -> Result:
    """Wait for ``work``; cancel it when the client closes the connection first.

    Raises:
        ClientGoneError: if the client closed it first.

    >>> async def receive():
    ...     await asyncio.sleep(60)  # the client keeps its connection
    >>> async def answer():
    ...     return await unless_gone(Request({"type": "http"}, receive), asyncio.sleep(0, result="an answer"))
    >>> asyncio.run(answer())
    'an answer'
    """
    working = asyncio.ensure_future(work)
    closed = asyncio.ensure_future(_until_closed(request))
    try:
        await asyncio.wait({working, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for future in (working, closed):
            if not future.done():
                future.cancel()


async def _until_closed(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
