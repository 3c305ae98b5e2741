"""The HTTP service as a target: requests go to its application in this process, to a model in this process."""

import asyncio
import base64
import functools
import io
import json
import queue
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.seeds import COCO, encoded
from benchmarks.fuzzing.stand_ins import single_stage_model
from benchmarks.fuzzing.target import Target, both
from benchmarks.fuzzing.video_and_bulk_readers import clip
from benchmarks.fuzzing.watching import put, unwatched
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator
from everypose.serving.jobs import Job, Jobs
from everypose.serving.pool import ModelPool
from everypose.serving.service import Service
from everypose.serving.settings import ModelOptions, ServerSettings
from everypose.serving.worker_process import Answer, Task, Ticket, WorkerProcess

Headers = list[tuple[bytes, bytes]]
FORM = (
    b'--fuzzing\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n%s\r\n"
    b'--fuzzing\r\nContent-Disposition: form-data; name="format"\r\n\r\ncoco\r\n--fuzzing--\r\n'
)


class _OneMessage(io.BytesIO):
    """A stream with one message, which ends once the message is answered."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.answers: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        self._answered = threading.Event()

    def answer(self, header: dict[str, Any], content: bytes) -> None:
        """Take the answer."""
        self.answers.put((header, content))
        self._answered.set()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from the message; at its end, wait for the answer."""
        content = super().read(size)
        if not content:
            self._answered.wait(10)
        return content


class LocalPool(ModelPool):
    """A pool whose worker is an estimator of this process; messages are those of a worker process."""

    def __init__(self, estimator: Estimator, settings: ServerSettings) -> None:
        from everypose.serving.worker import describe

        super().__init__(ModelOptions(model="stand-in", options={}), settings)
        self._estimator = estimator
        weights = {"name": "stand-in", "revision": None, "sha256": None}
        self.description = {**describe(estimator), "weights": weights}

    async def run(self, task: Task) -> Answer:
        """The answer of a worker to the one message with the task."""
        from everypose.serving.messages import pack
        from everypose.serving.worker import Worker

        header = {
            "id": 1, "format": task.output, "min_score": task.min_score, "skeleton": task.skeleton,
            "image_id": task.image_id,
        }  # fmt: skip
        stream = _OneMessage(pack(header, task.content))
        Worker(self._estimator, stream.answer, 0.0, self.description["weights"]).run(stream)
        ticket = Ticket(task)
        process = WorkerProcess.__new__(WorkerProcess)  # only its reading of answers: there is no process
        process.in_flight = {1: ticket}
        process._take_answer(*stream.answers.get(timeout=10))
        return await ticket.answer


class NoJobs(Jobs):
    """Video jobs that are not processed: decoding is a target of its own."""

    def add(self, options: dict[str, Any], content: bytes) -> Job:  # noqa: ARG002
        """A job that is queued forever."""
        return Job()


@functools.cache
def _application() -> tuple[Any, asyncio.AbstractEventLoop]:
    """The application of a service with one model, and the loop that it runs in."""
    import tempfile

    from everypose.inference.loading import load
    from everypose.serving.app import create_app
    from everypose.serving.label_studio import LabelStudio
    from everypose.serving.metrics import Metrics
    from everypose.serving.request_log import RequestLog
    from everypose.serving.tokens import Tokens

    with unwatched(), tempfile.TemporaryDirectory() as folder:
        estimator = load(put(Path(folder) / "stand_in.onnx", single_stage_model()), threads=1)
    settings = ServerSettings(max_bytes=1 << 20, max_pixels=1_000_000)
    pools = {"stand-in": LocalPool(estimator, settings)}
    service = Service(settings, pools, Tokens([]), Metrics(pools), RequestLog(io.StringIO()))
    service.jobs = NoJobs(4, 60.0, 1 << 20)
    with unwatched():
        loop = asyncio.new_event_loop()
    return create_app(service, LabelStudio("http://127.0.0.1:9")), loop


def request(path: bytes, headers: Headers, body: bytes) -> tuple[int, Mapping[bytes, bytes], bytes]:
    """The status, headers and body of the answer to ``POST path``."""
    application, loop = _application()
    name, _, query = path.partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": name.decode("latin-1"), "raw_path": name, "query_string": query, "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *headers], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def answer() -> None:
        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in incoming:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await application(scope, receive, send)

    loop.run_until_complete(answer())
    start, *rest = sent
    return start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in rest)


def stream(sent_bytes: Iterable[bytes]) -> list[dict[str, Any]]:
    """What a WebSocket client of /v1/stream gets for its options and frames."""
    application, loop = _application()
    first, *frames = sent_bytes
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": "/v1/stream",
        "raw_path": b"/v1/stream", "query_string": b"", "root_path": "", "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "subprotocols": [],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def talk() -> None:
        messages: list[dict[str, Any]] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": first.decode("utf-8", "replace")},
            *({"type": "websocket.receive", "bytes": frame} for frame in frames),
            {"type": "websocket.disconnect", "code": 1000},
        ]
        incoming = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(incoming)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await application(scope, receive, send)

    loop.run_until_complete(talk())
    return sent


def checked(status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Raise the one line of a refusal.

    Raises:
        EveryposeError: the request was refused by its client's fault.
        AssertionError: the service failed, or the answer is not as documented.
    """
    assert status < 500, f"status {status}: {body[:200]!r}"
    if status >= 400:
        raise EveryposeError(json.loads(body)["detail"])
    if headers.get(b"content-type", b"") == b"application/json":
        json.loads(body)


def service_targets() -> list[Target]:
    """Requests: query and headers in the first two lines, then the body."""

    def post(content: bytes, folder: Path) -> None:  # noqa: ARG001
        address, _, rest = content.partition(b"\n")
        media_type, _, body = rest.partition(b"\n")
        address = address if address.startswith(b"/v1/poses") else b"/v1/poses?" + address
        checked(*request(address, [(b"content-type", media_type)], body))

    def video(content: bytes, _: Path) -> None:
        checked(*request(b"/v1/video?track=false", [(b"content-type", b"video/mp4")], content))

    def label_studio(content: bytes, _: Path) -> None:
        from everypose.serving import label_studio as module
        from everypose.serving.failures import UnprocessableError

        def no_server(*_: object) -> bytes:
            raise UnprocessableError("the image cannot be fetched")

        with patch.object(module, "_download", no_server):
            checked(*request(b"/predict", [(b"content-type", b"application/json")], content))

    def frames(content: bytes, _: Path) -> None:
        sent = stream(content.split(b"\n--frame--\n"))
        closed = next((message for message in sent if message["type"] == "websocket.close"), None)
        for message in sent:
            if message.get("text"):
                json.loads(message["text"])
        if closed is not None:
            assert closed["code"] in (1008, 1013), closed
            raise EveryposeError(closed["reason"])

    from everypose.integrations.label_studio import labeling_config

    image = encoded(".jpg")
    plain = b"/v1/poses?format=json&min_score=0.2\nimage/jpeg\n" + image
    form = b"/v1/poses\nmultipart/form-data; boundary=fuzzing\n" + FORM % image
    drawn = b"/v1/poses?format=png&skeleton=crowdpose\napplication/octet-stream\n" + encoded(".png")
    task = {"id": 1, "data": {"image": f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"}}
    asked = json.dumps({"tasks": [task], "label_config": labeling_config(COCO)}).encode()
    options = json.dumps({"track": True, "min_score": 0.2}).encode()
    return [
        Target("POST /v1/poses", (plain, form, drawn), mutate_bytes, post),
        Target("POST /v1/poses, form", (form,), mutate_text, post),
        Target("POST /v1/video", (clip(".mp4"), clip(".avi"), clip(".mkv")), mutate_bytes, video),
        Target("POST /predict, Label Studio", (asked,), both, label_studio),
        Target("WS /v1/stream", (b"\n--frame--\n".join([options, image, image]),), mutate_bytes, frames),
    ]
