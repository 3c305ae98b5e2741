"""Requests to save or to end a training run between two steps: by signals and by a time limit."""

import signal
import time
from types import FrameType
from typing import Literal

import torch
from torch import Tensor

from everypose.training.guard import fetch

Request = Literal["save", "end"]
_BY_URGENCY: tuple[Request | None, ...] = (None, "save", "end")


class StopRequests:
    """Collects requests that reach a run at any moment, to be answered after the step in progress.

    SIGTERM, SIGHUP and the time limit save a checkpoint and end the run; SIGUSR1 saves one and lets it continue.
    Schedulers send these signals some time before they kill a job.

    Attributes:
        number: the signal that asked to end the run; None for the time limit, or while nothing asks to end it.

    >>> StopRequests().take() is None, StopRequests(max_minutes=0.0).take()
    (True, 'end')
    """

    def __init__(self, max_minutes: float | None = None) -> None:
        """Set the time limit; it counts from now.

        Args:
            max_minutes: minutes until the run is to end; None for no limit.
        """
        self.number: int | None = None
        self._save = False
        self._deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._previous: dict[int, object] = {}

    def install(self) -> None:
        """Take over the signals; outside of the main thread nothing is done. :meth:`remove` gives them back."""
        handlers = {"SIGTERM": self._ask_to_end, "SIGHUP": self._ask_to_end, "SIGUSR1": self._ask_to_save}
        for name, handler in handlers.items():
            number = getattr(signal, name, None)  # Windows has only the first
            if number is None:
                continue
            try:
                self._previous[number] = signal.signal(number, handler)
            except ValueError:
                return

    def remove(self) -> None:
        """Give the signals back to the handlers they had before :meth:`install`."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal.signal returned it
        self._previous.clear()

    @property
    def asks_to_end(self) -> bool:
        """Whether a signal or the time limit asks to end the run; no request is taken."""
        return self.number is not None or (self._deadline is not None and time.monotonic() >= self._deadline)

    def take(self) -> Request | None:
        """The most urgent request; one to save is answered once."""
        if self.asks_to_end:
            return "end"
        if self._save:
            self._save = False
            return "save"
        return None

    def _ask_to_end(self, number: int, _: FrameType | None) -> None:
        self.number = number

    def _ask_to_save(self, _: int, __: FrameType | None) -> None:
        self._save = True


class Agreement:
    """Makes all processes of a run answer a request after the same step, whichever of them received it.

    A process that ended alone would leave the others waiting for its gradients. The most urgent request is found by
    one all-reduce a step, whose result is read a step later, so that the host does not wait for the device.

    >>> from pathlib import Path
    >>> store = Path("store").resolve().as_uri()
    >>> torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    >>> agreement = Agreement()
    >>> [agreement.answer(request, torch.device("cpu")) for request in ("end", None)]  # a step later
    [None, 'end']
    >>> torch.distributed.destroy_process_group()
    """

    def __init__(self) -> None:
        self._pending: tuple[Tensor, torch.cuda.Event | None] | None = None

    def answer(self, request: Request | None, device: torch.device) -> Request | None:
        """Return the most urgent request of all processes after the step before.

        Args:
            request: of this process now; every process must call this after each step.
            device: of the processes' communication.
        """
        urgency = torch.tensor(_BY_URGENCY.index(request), device=device)
        torch.distributed.all_reduce(urgency, torch.distributed.ReduceOp.MAX)
        before, self._pending = self._pending, fetch(urgency)
        if before is None:
            return None
        value, arrived = before
        if arrived is not None:
            arrived.synchronize()
        return _BY_URGENCY[int(value)]


class RunEnded(BaseException):  # a request that was answered, and no fault
    """A run was ended between two steps, after its checkpoint was written.

    >>> issubclass(RunEnded, Exception)  # handlers of errors let it pass
    False
    """
