"""The service's side of a worker process: start it, send images, receive answers, handle its end."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from everypose.errors import EveryposeError, UsageError
from everypose.serving.failures import ModelFailedError, RequestError, UnavailableError, UnprocessableError
from everypose.serving.messages import NO_MESSAGE, Header, pack, receive_message
from everypose.serving.rendering import Format
from everypose.serving.settings import ModelOptions

STOP_SECONDS = 2.0
"""Seconds that a worker gets to end by itself once its standard input is closed."""


@dataclass(frozen=True)
class Task:
    """One image to be answered.

    Attributes:
        content: the encoded image.
        pixels: its decoded pixels, from its header.
        output: format of the answer.
        min_score: lowest person score; None for the model's.
        skeleton: name of the skeleton of the answer; None for the model's.
        image_id: the image's id in COCO results.

    >>> Task(b"image", pixels=640 * 480, output="coco").image_id
    1
    """

    content: bytes
    pixels: int
    output: Format = "json"
    min_score: float | None = None
    skeleton: str | None = None
    image_id: int = 1


@dataclass(frozen=True)
class Answer:
    """The answer to one image.

    Attributes:
        content: the body.
        media_type: its media type.
        people: number of people in it.
        batch: images that went through the network in the same batch.

    >>> Answer(b"[]", "application/json", people=0, batch=1).media_type
    'application/json'
    """

    content: bytes
    media_type: str
    people: int
    batch: int


@dataclass
class Ticket:
    """A task that waits for its answer.

    Attributes:
        task: the image and its options.
        answer: completed when the worker has answered or failed.

    >>> async def refused():
    ...     ticket = Ticket(Task(b"image", pixels=640 * 480))
    ...     ticket.fail(UnavailableError("the service is stopping"))
    ...     return str(ticket.answer.exception())
    >>> asyncio.run(refused())
    'the service is stopping'
    """

    task: Task
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, failure: RequestError) -> None:
        """Answer with a failure, unless the request has already been answered or canceled."""
        if not self.answer.done():
            self.answer.set_exception(failure)


class WorkerProcess:
    """One worker process with a loaded model.

    Attributes:
        description: description of the model by :func:`everypose.serving.worker.describe`.
        in_flight: tickets that the process has not answered, by message id.
        last_progress: time of the last answer, or of the first task after idling (`time.monotonic`).

    >>> from types import SimpleNamespace
    >>> process = WorkerProcess(SimpleNamespace(pid=4711), {"name": "boir-lite"}, on_answer=lambda: None)
    >>> process.pid, process.pixels
    (4711, 0)
    """

    def __init__(self, process: asyncio.subprocess.Process, description: Header, on_answer: Callable[[], None]) -> None:
        self._process = process
        self._on_answer = on_answer
        self._next_id = 0
        self.description = description
        self.in_flight: dict[int, Ticket] = {}
        self.last_progress = time.monotonic()

    @classmethod
    async def start(
        cls, model: ModelOptions, on_answer: Callable[[], None], *, max_pixels: int, batch_wait: float
    ) -> "WorkerProcess":
        """Start a process and wait until its model is loaded.

        Args:
            model: the model and its options.
            on_answer: called after each answer.
            max_pixels: limit of the image decoder, which applies whatever the image's header states.
            batch_wait: seconds to wait for more images to fill a batch.

        Raises:
            EveryposeError: if the model cannot be loaded, or the process ended meanwhile.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "everypose.serving.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": str(max_pixels)},
            )
        except OSError as error:
            raise EveryposeError(f"no process can be started for {model.model}: {error.strerror or error}") from error
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(pack({"model": model.model, "options": model.options, "batch_wait": batch_wait}))
                await process.stdin.drain()
            message = await receive_message(process.stdout)
        except asyncio.CancelledError:
            process.kill()
            raise
        if message is None:
            raise EveryposeError(f"the worker of {model.model} ended while it was loading the model")
        header, _ = message
        if "error" in header:
            await process.wait()
            raise (UsageError if header["exit_code"] == UsageError.exit_code else EveryposeError)(header["error"])
        return cls(process, header["ready"], on_answer)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def pixels(self) -> int:
        """Decoded pixels of the images in flight."""
        return sum(ticket.task.pixels for ticket in self.in_flight.values())

    def submit(self, ticket: Ticket) -> None:
        """Send a task to the process."""
        assert self._process.stdin is not None
        if not self.in_flight:
            self.last_progress = time.monotonic()
        self._next_id += 1
        self.in_flight[self._next_id] = ticket
        task = ticket.task
        header = {
            "id": self._next_id,
            "format": task.output,
            "min_score": task.min_score,
            "skeleton": task.skeleton,
            "image_id": task.image_id,
        }
        self._process.stdin.write(pack(header, task.content))

    async def run(self) -> None:
        """Pass on answers until the process ends; then fail what it has not answered."""
        assert self._process.stdout is not None
        try:
            while (message := await receive_message(self._process.stdout)) is not None:
                self._take_answer(*message)
                self._on_answer()
        except NO_MESSAGE:
            pass  # the process is ended, and replaced
        finally:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()
            for ticket in self.in_flight.values():
                ticket.fail(UnavailableError("the worker ended while it was processing this image", retry_after=1))
            self.in_flight.clear()

    def _take_answer(self, header: Header, content: bytes) -> None:
        ticket = self.in_flight.pop(header["id"], None)
        self.last_progress = time.monotonic()
        if ticket is None or ticket.answer.done():
            return
        if "failed" in header:
            ticket.fail(_failure(header["failed"], header["detail"]))
        else:
            ticket.answer.set_result(Answer(content, header["media_type"], header["people"], header["batch"]))

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Let the process end by itself; end it when it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.kill()


def _failure(what: Literal["image", "model", "request"], detail: str) -> RequestError:
    """The failure that a worker reports."""
    return ModelFailedError(detail) if what == "model" else UnprocessableError(detail)
