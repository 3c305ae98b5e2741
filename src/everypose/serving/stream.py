"""``WS /v1/stream``: frames in, people out, one frame at a time.

The first message of a client is a JSON object with its options (:class:`StreamOptions`); the service answers with the
model's description. Each further message is one encoded frame, and each answer a JSON object: ``frame`` (its number,
from 0) and either what ``POST /v1/poses`` gives or ``detail`` and ``status`` when the frame could not be answered. A
client sends the next frame when it has the answer to the last.
"""

import asyncio
import json
import time
from collections.abc import Mapping

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, ValidationError

from everypose.core.validation import explain
from everypose.errors import EveryposeError
from everypose.people import People
from everypose.serving.failures import RequestError
from everypose.serving.image_check import check_image
from everypose.serving.schemas import ModelRequest
from everypose.serving.service import Service
from everypose.serving.worker_process import Task
from everypose.tracking.tracker import Tracker

POLICY, TRY_AGAIN_LATER, GOING_AWAY, INTERNAL_ERROR = 1008, 1013, 1001, 1011
LONGEST_REASON = 123
"""Bytes of the reason in a close frame (RFC 6455, section 5.5)."""
LONGEST_OPTIONS = 4096


class StreamOptions(ModelRequest):
    """Options that a client sends at the start of a stream.

    >>> StreamOptions.model_validate_json('{"min_score": 0.4}').track
    True

    Attributes:
        token: a token of the server's token file, for clients that cannot set an Authorization header.
        track: whether people get ids that stay the same from frame to frame. A person is returned once it has been
            detected in a few frames; an occluded one is still returned for a moment, with keypoint scores of 0.
    """

    token: str = Field("", max_length=1000)
    track: bool = True


class _StreamRefusedError(Exception):
    """A stream that is closed by the service.

    Attributes:
        code: the WebSocket close code.
        reason: one line for the client.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def stream_routes(service: Service) -> APIRouter:
    """``WS /v1/stream``.

    >>> from everypose.serving.metrics import Metrics
    >>> from everypose.serving.request_log import RequestLog
    >>> from everypose.serving.settings import ServerSettings
    >>> from everypose.serving.tokens import Tokens
    >>> service = Service(ServerSettings(), {}, Tokens([]), Metrics({}), RequestLog())
    >>> [route.path for route in stream_routes(service).routes]
    ['/v1/stream']
    """
    router = APIRouter()
    streams: set[WebSocket] = set()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        try:
            if len(streams) >= service.settings.streams:
                raise _StreamRefusedError(TRY_AGAIN_LATER, "too many streams are open: try again later")
            streams.add(socket)
            await _answer_frames(service, socket, await _read_options(service, socket))
        except _StreamRefusedError as refusal:
            await socket.close(refusal.code, _cut(refusal.reason))
        except EveryposeError as error:  # such as a package that tracking needs
            await socket.close(INTERNAL_ERROR, _cut(str(error)))
        except WebSocketDisconnect:
            return
        finally:
            streams.discard(socket)

    return router


def _cut(reason: str) -> str:
    """Return as much of a reason as fits into a close frame."""
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")


async def _read_options(service: Service, socket: WebSocket) -> StreamOptions:
    """Read and check the options of the first message; answer with the model's description."""
    text = (await _receive(service, socket)).get("text")
    if not isinstance(text, str) or len(text) > LONGEST_OPTIONS:
        raise _StreamRefusedError(POLICY, "the first message is a JSON object with the options of the stream")
    try:
        options = StreamOptions.model_validate_json(text)
        service.check(options)
    except ValidationError as error:
        raise _StreamRefusedError(POLICY, explain(error, StreamOptions)) from error
    except RequestError as failure:
        raise _StreamRefusedError(POLICY, failure.detail) from failure
    header = socket.headers.get("authorization")
    if not (service.tokens.accept(header) if header else service.tokens.accept_token(options.token)):
        raise _StreamRefusedError(POLICY, "a valid token is needed")
    await socket.send_json({"model": service.pool(options.model).description})
    return options


async def _answer_frames(service: Service, socket: WebSocket, options: StreamOptions) -> None:
    """Answer one frame after the other until the client disconnects."""
    tracking = Tracking() if options.track else None
    number = 0
    while True:
        content = (await _receive(service, socket)).get("bytes")
        if not isinstance(content, bytes):
            raise _StreamRefusedError(POLICY, "a frame is a binary message with an encoded image")
        await socket.send_text(await _answer(service, content, options, number, tracking))
        number += 1


class Tracking:
    """Gives the people of successive answers their ids.

    >>> import numpy as np
    >>> from everypose.serving.rendering import render
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> image, pose = np.zeros((96, 96, 3), np.uint8), np.random.default_rng(0).uniform(10, 90, (1, 17, 3)).clip(0.5)
    >>> people = People(pose, [0.9], Skeleton.named("coco"), image=image)
    >>> answer = render(people, "json", model="boir-lite", weights={"name": "boir-lite"}).content
    >>> sorted(Tracking().add_ids(answer))
    ['image', 'model', 'people', 'skeleton', 'weights']
    """

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._time = 0.0

    def add_ids(self, answer: bytes) -> Mapping[str, object]:
        """Add ids to the answer to the newest frame, whose time is now."""
        content = json.loads(answer)
        people = People.from_json(answer.decode())
        tracker = self._tracker = self._tracker or Tracker(people.skeleton)
        self._time = max(time.monotonic(), self._time + 1e-3)  # times must rise, however coarse the clock
        tracked = tracker.update(people, self._time)
        found_by = {name: content[name] for name in ("model", "weights", "image")}
        return {**found_by, **json.loads(tracked.to_json())}


async def _receive(service: Service, socket: WebSocket) -> Mapping[str, object]:
    """Return the next message; a client that sends none for too long is disconnected."""
    try:
        message = await asyncio.wait_for(socket.receive(), service.settings.stream_idle)
    except TimeoutError:
        raise _StreamRefusedError(GOING_AWAY, f"no message for {service.settings.stream_idle:g} seconds") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return message


async def _answer(
    service: Service, content: bytes, options: ModelRequest, number: int, tracking: Tracking | None
) -> str:
    """The answer to one frame as JSON."""
    pool = service.pool(options.model)
    try:
        pixels = check_image(content, service.settings.max_pixels)
        answer = await pool.run(Task(content, pixels, "json", options.min_score, options.skeleton))
    except RequestError as failure:
        return json.dumps({"frame": number, "status": failure.status, "detail": failure.detail})
    service.metrics.people.labels(pool.description["name"]).inc(answer.people)
    found = json.loads(answer.content) if tracking is None else tracking.add_ids(answer.content)
    return json.dumps({"frame": number, **found})
