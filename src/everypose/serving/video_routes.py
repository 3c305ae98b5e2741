"""Routes of video jobs: send a video, read its progress, fetch the result."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from everypose.serving.failures import ConflictError, UnprocessableError, UnsupportedMediaError
from everypose.serving.jobs import RUNNING, Job, State
from everypose.serving.rendering import model_header
from everypose.serving.request_body import received
from everypose.serving.routes import STATES_MODEL, authorization, problems, upload_body
from everypose.serving.schemas import ModelRequest
from everypose.serving.service import Service
from everypose.serving.video_worker import is_video

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The job's id.")]
RESULT = {
    "description": "The result, in the requested format.",
    "headers": STATES_MODEL,
    "content": {"application/json": {}, "text/csv": {"schema": {"type": "string"}}},
}
"""OpenAPI description of a result."""


class VideoOptions(ModelRequest):
    """Options of a video job; each is a query parameter.

    >>> VideoOptions(format="csv").track
    True
    """

    track: bool = Field(True, description="Give people ids over time.")
    format: Literal["json", "coco", "csv"] = Field("json", description="Format of the result.")


class JobAnswer(BaseModel):
    """Progress of a video job.

    >>> JobAnswer(id="0" * 32, state="running", frames=30, total=300, detail=None, result=None).state
    'running'
    """

    id: str
    state: State
    frames: int = Field(description="Frames that are done.")
    total: int | None = Field(description="Frames of the video, as far as known.")
    detail: str | None = Field(description="Why it failed.")
    result: str | None = Field(description="Path of the result, once it is done.")


def video_routes(service: Service) -> APIRouter:
    """``POST /v1/video``, ``GET`` and ``DELETE /v1/video/{id}``, ``GET /v1/video/{id}/result``.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> sorted({route.path for route in video_routes(service).routes})
    ['/v1/video', '/v1/video/{job_id}', '/v1/video/{job_id}/result']
    """
    router = APIRouter(dependencies=[authorization(service)], responses=problems(401, 403))
    settings = service.settings

    @router.post(
        "/v1/video",
        summary="Start to find the people in a video",
        status_code=202,
        responses=problems(400, 404, 408, 413, 415, 422, 429, 503),
        openapi_extra=upload_body("video", "video/*"),
    )
    async def start(request: Request, query: Annotated[VideoOptions, Query()]) -> JobAnswer:
        service.check(query)
        async with received(
            request,
            "video",
            ("video/",),
            limit=settings.max_video_bytes,
            seconds=settings.video_body_timeout,
            memory=service.memory,
        ) as upload:
            if upload.fields:
                raise UnprocessableError("options of a video are query parameters")
            if not is_video(upload.content):
                raise UnsupportedMediaError("the video is not an MP4, MOV, Matroska, WebM, AVI, MPEG, Ogg or FLV file")
            model = service.pool(query.model).model
            asked = query.model_dump(exclude={"model"}) | {"model": model.model, "options": model.options}
            return _answer(service.jobs.add(asked, upload.content))

    @router.get("/v1/video/{job_id}", summary="Progress of a video", responses=problems(404, 422))
    async def progress(job_id: JobId) -> JobAnswer:
        return _answer(service.jobs.get(job_id))

    @router.delete("/v1/video/{job_id}", summary="End a job and forget its result", responses=problems(404, 422))
    async def cancel(job_id: JobId) -> JobAnswer:
        return _answer(service.jobs.cancel(job_id))

    @router.get(
        "/v1/video/{job_id}/result",
        summary="The people in all frames of a video",
        response_class=Response,
        responses={200: RESULT, **problems(404, 409, 422)},
    )
    async def result(job_id: JobId) -> Response:
        job = service.jobs.get(job_id)
        if job.state in RUNNING:
            raise ConflictError("the video is not done yet", retry_after=1)
        if job.state != "done":
            raise UnprocessableError(f"there is no result: {job.detail}")
        return Response(job.result, media_type=job.media_type, headers=model_header(job.weights))

    return router


def _answer(job: Job) -> JobAnswer:
    return JobAnswer(
        id=job.id,
        state=job.state,
        frames=job.frames,
        total=job.total,
        detail=job.detail,
        result=f"/v1/video/{job.id}/result" if job.state == "done" else None,
    )
