"""The worker processes of one model and the bounded queue in front of them."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from everypose.errors import EveryposeError
from everypose.serving.failures import AnswerTimeoutError, BusyError, UnavailableError
from everypose.serving.messages import Header
from everypose.serving.settings import ModelOptions, ServerSettings
from everypose.serving.worker_process import Answer, Task, Ticket, WorkerProcess

MOST_PIXELS = 100_000_000
"""Decoded pixels that a worker may hold at once (300 MB); a larger image is processed alone."""
READ_AHEAD = 2
"""Images that a worker decodes ahead, in addition to the batch in the network and the next one."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds between a worker's end and its restart; doubled each time it ends within `STABLE` seconds."""
STABLE = 10.0


class ModelPool:
    """Keeps the workers of one model running and gives each task to the least loaded one.

    Args:
        model: the model and its options.
        settings: limits and timeouts.
        on_restart: called with the model's name whenever a worker has ended unexpectedly.

    Attributes:
        model: the model and its options.
        description: the workers' description of the model; empty before `start`.
        problem: the reason why no worker can be started; None if one can.

    >>> pool = ModelPool(ModelOptions(model="boir-lite"), ServerSettings(workers=2))
    >>> pool.is_ready, pool.waiting, pool.pids  # before it is started
    (False, 0, [])
    """

    def __init__(
        self, model: ModelOptions, settings: ServerSettings, on_restart: Callable[[str], None] = lambda _: None
    ) -> None:
        self.model = model
        self._settings = settings
        self._on_restart = on_restart
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[Ticket] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self.description: Header = {}
        self.problem: str | None = None

    async def start(self) -> None:
        """Start all workers; from then on each is restarted when it ends.

        Raises:
            EveryposeError: if the model cannot be loaded.
        """
        starts = [asyncio.create_task(self._start_worker()) for _ in range(self._settings.workers)]
        try:
            workers = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            for result in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(result, WorkerProcess):
                    result.kill()
            raise
        self.description = workers[0].description
        self._tasks = [asyncio.create_task(self._keep_running(worker)) for worker in workers]
        self._tasks.append(asyncio.create_task(self._end_hung_workers()))

    @property
    def is_ready(self) -> bool:
        """Whether a worker can take tasks now."""
        return bool(self._workers) and not self._closing

    @property
    def waiting(self) -> int:
        """Number of tasks in the queue whose clients are still connected."""
        return sum(not ticket.answer.done() for ticket in self._waiting)

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self._workers]

    async def run(self, task: Task) -> Answer:
        """Run one task and return its answer.

        Raises:
            BusyError: if the queue is full.
            UnavailableError: if no worker can be started, or the worker ended meanwhile.
            AnswerTimeoutError: if there was no answer within ``settings.timeout`` seconds.
            UnprocessableError: if the image cannot be used.
            ModelFailedError: if the model failed on it.
        """
        if self._closing:
            raise UnavailableError("the service is stopping", retry_after=5)
        if not self._workers and self.problem is not None:
            raise UnavailableError(f"the model cannot be loaded: {self.problem}", retry_after=int(LONGEST_DELAY))
        self._drop_abandoned()
        if len(self._waiting) >= self._settings.queue:
            raise BusyError(f"{len(self._waiting)} requests are waiting: try again later", retry_after=1)
        ticket = Ticket(task)
        self._waiting.append(ticket)
        self._dispatch()
        try:
            return await asyncio.wait_for(ticket.answer, self._settings.timeout)
        except TimeoutError:
            raise AnswerTimeoutError(f"no answer within {self._settings.timeout:g} seconds", retry_after=1) from None

    async def close(self) -> None:
        """Stop the workers; tasks that are not answered fail."""
        self._closing = True
        self._fail_waiting(UnavailableError("the service is stopping", retry_after=5))
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_abandoned(self) -> None:
        """Remove tasks whose request has timed out or whose client has disconnected."""
        self._waiting = deque(ticket for ticket in self._waiting if not ticket.answer.done())

    def _dispatch(self) -> None:
        """Give waiting tasks to workers that can take more."""
        while self._waiting and self._workers:
            ticket = self._waiting[0]
            if ticket.answer.done():
                self._waiting.popleft()
                continue
            worker = min(self._workers, key=lambda one: len(one.in_flight))
            if not self._has_room(worker, ticket.task):
                return
            worker.submit(self._waiting.popleft())

    def _has_room(self, worker: WorkerProcess, task: Task) -> bool:
        """Whether a worker's share of tasks and decoded pixels allows one more."""
        if not worker.in_flight:
            return True
        most = 2 * int(worker.description["batch_size"]) + READ_AHEAD
        return len(worker.in_flight) < most and worker.pixels + task.pixels <= MOST_PIXELS

    def _fail_waiting(self, failure: UnavailableError) -> None:
        for ticket in self._waiting:
            ticket.fail(failure)
        self._waiting.clear()

    async def _start_worker(self) -> WorkerProcess:
        return await WorkerProcess.start(
            self.model,
            self._dispatch,
            max_pixels=self._settings.max_pixels,
            batch_wait=self._settings.batch_wait,
        )

    async def _keep_running(self, worker: WorkerProcess) -> None:
        """Run one worker, and its successors when it ends."""
        delay = FIRST_DELAY
        while True:
            started = time.monotonic()
            self._workers.append(worker)
            self._dispatch()
            try:
                await worker.run()
            finally:
                self._workers.remove(worker)
            if self._closing:
                return
            self._on_restart(worker.description["name"])
            delay = FIRST_DELAY if time.monotonic() - started > STABLE else min(2 * delay, LONGEST_DELAY)
            worker = await self._restart(delay)

    async def _restart(self, delay: float) -> WorkerProcess:
        """Start a worker; try again, ever more slowly, while the model cannot be loaded."""
        while True:
            await asyncio.sleep(delay)
            try:
                worker = await self._start_worker()
            except EveryposeError as error:
                self.problem = str(error)
                if not self._workers:
                    self._fail_waiting(
                        UnavailableError(f"the model cannot be loaded: {self.problem}", retry_after=int(LONGEST_DELAY))
                    )
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                self.problem = None
                return worker

    async def _end_hung_workers(self) -> None:
        """End a worker that has given no answer for ``settings.timeout`` seconds although it has tasks."""
        while True:
            await asyncio.sleep(min(1.0, self._settings.timeout))
            now = time.monotonic()
            for worker in self._workers:
                if worker.in_flight and now - worker.last_progress > self._settings.timeout:
                    with contextlib.suppress(ProcessLookupError):
                        worker.kill()
