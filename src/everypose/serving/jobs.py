"""Video jobs: one at a time, each in a process of its own, with progress and a result that expires."""

import asyncio
import contextlib
import sys
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from everypose.serving.failures import BusyError, NotFoundError
from everypose.serving.messages import NO_MESSAGE, Header, pack, receive_message

State = Literal["queued", "running", "done", "failed", "cancelled"]
RUNNING: tuple[State, ...] = ("queued", "running")


@dataclass
class Job:
    """One video that is processed.

    Attributes:
        id: random identifier, which cannot be guessed.
        state: the job's state.
        frames: number of processed frames.
        total: number of frames of the video: None if unknown, an estimate until the job is done.
        detail: the reason why it failed.
        media_type: media type of the result.
        weights: name, revision and SHA-256 of the model's weights; empty until the job is done.
        result: the result; empty until the job is done.
        finished: time at which it ended (`time.monotonic`).

    >>> Job(total=300).state
    'queued'
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "queued"
    frames: int = 0
    total: int | None = None
    detail: str | None = None
    media_type: str = ""
    weights: Header = field(default_factory=dict)
    result: bytes = b""
    finished: float | None = None


@dataclass(frozen=True)
class _Waiting:
    job: Job
    options: Header
    content: bytes


class Jobs:
    """Runs video jobs, one at a time.

    Args:
        limit: largest number of waiting jobs.
        keep_seconds: seconds for which an ended job can be fetched.
        largest: limit of the results of all ended jobs, in bytes; the oldest jobs are removed first.

    >>> Jobs(limit=4, keep_seconds=600, largest=2**30).get("0" * 32)
    Traceback (most recent call last):
        ...
    everypose.serving.failures.NotFoundError: there is no such job, or it has expired
    """

    def __init__(self, limit: int, keep_seconds: float, largest: int) -> None:
        self._limit = limit
        self._keep_seconds = keep_seconds
        self._largest = largest
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[_Waiting] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._running: Job | None = None

    def add(self, options: Header, content: bytes) -> Job:
        """Queue a video.

        Args:
            options: the model, its options and those of the request, as the video worker reads them.
            content: the video file.

        Raises:
            BusyError: if too many videos are waiting.
        """
        self._forget()
        if len(self._waiting) >= self._limit:
            raise BusyError(f"{len(self._waiting)} videos are waiting: try again later", retry_after=30)
        job = Job()
        self._jobs[job.id] = job
        self._waiting.append(_Waiting(job, options, content))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return job

    def get(self, job_id: str) -> Job:
        """Return a job by its id.

        Raises:
            NotFoundError: if there is none, or it has expired.
        """
        self._forget()
        if job_id not in self._jobs:
            raise NotFoundError("there is no such job, or it has expired")
        return self._jobs[job_id]

    def cancel(self, job_id: str) -> Job:
        """End a job and delete its result.

        Raises:
            NotFoundError: if there is none, or it has expired.
        """
        job = self.get(job_id)
        self._waiting = deque(one for one in self._waiting if one.job is not job)
        if job.state in RUNNING:
            _end(job, "cancelled")
        if job is self._running:
            self._kill()
        del self._jobs[job_id]
        return job

    async def close(self) -> None:
        """End all jobs."""
        self._waiting.clear()
        self._kill()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self) -> None:
        """Process the waiting videos; one that fails does not stop the others."""
        while self._waiting:
            waiting = self._waiting.popleft()
            self._running = waiting.job
            try:
                await self._process_one(waiting)
            except OSError as error:
                _end(waiting.job, "failed", f"no process can be started for the video: {error.strerror or error}")
            except NO_MESSAGE:
                pass  # its process is ended
            finally:
                self._running = None
                if waiting.job.state in RUNNING:
                    _end(waiting.job, "failed", "the process that worked on the video ended")

    async def _process_one(self, waiting: _Waiting) -> None:
        job = waiting.job
        job.state = "running"
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "everypose.serving.video_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(pack(waiting.options, waiting.content))
                await process.stdin.drain()
            while job.state == "running" and (message := await receive_message(process.stdout)) is not None:
                _take(job, *message)
        finally:
            self._kill()
            await process.wait()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _forget(self) -> None:
        """Delete ended jobs that have expired, and the oldest ones while all results together are too large."""
        now = time.monotonic()
        ended = [job for job in self._jobs.values() if job.finished is not None]
        held = 0
        for job in sorted(ended, key=lambda one: one.finished or 0.0, reverse=True):
            held += len(job.result)
            if now - (job.finished or 0.0) > self._keep_seconds or held > self._largest:
                del self._jobs[job.id]


def _take(job: Job, header: Header, content: bytes) -> None:
    """Update the job by a message of its process."""
    if "error" in header:
        _end(job, "failed", header["error"])
        return
    job.frames, job.total = header["frames"], header["total"]
    if "media_type" in header:
        job.media_type, job.weights, job.result = header["media_type"], header["weights"], content
        _end(job, "done")


def _end(job: Job, state: State, detail: str | None = None) -> None:
    job.state, job.detail, job.finished = state, detail, time.monotonic()
