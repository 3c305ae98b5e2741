"""Training checkpoints: written atomically, plain tensors and numbers, never unpickled as code."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from everypose.errors import EveryposeError
from everypose.models.checkpoint_file import read_checkpoint, write_checkpoint

FORMAT = 1
FIRST_MINUTES = 1.0
"""When the first checkpoint of a run is written at the latest."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` optimizer steps; the sample stream needs no more than that number.

    >>> import torch
    >>> saved = Checkpoint(
    ...     step=100, samples=1000, global_batch=8, network={"weight": torch.ones(2)}, optimizer={}, precision={},
    ...     ema=None, ema_updates=0, best_ap=0.5,
    ... )
    >>> saved.save(Path("last.ckpt"))
    >>> Checkpoint.load(Path("last.ckpt")).step
    100
    """

    step: int
    samples: int
    global_batch: int
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    precision: dict[str, Any]  # the gradient scaler's state, under 16-bit precision
    ema: dict[str, Tensor] | None
    ema_updates: int
    best_ap: float | None
    format: int = FORMAT

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        write_checkpoint({name: getattr(self, name) for name in self.__dataclass_fields__}, path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint on the CPU.

        Raises:
            EveryposeError: if the file is missing, damaged, not an everypose checkpoint, or holds more than plain data.
        """
        if not path.exists():
            raise EveryposeError(f"there is no checkpoint {path}: nothing to resume from")
        content = read_checkpoint(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != set(
            cls.__dataclass_fields__
        ):  # fmt: skip
            raise EveryposeError(f"{path} is not a training checkpoint of this version of everypose")
        checkpoint = cls(**content)
        counts = (checkpoint.step, checkpoint.samples, checkpoint.global_batch, checkpoint.ema_updates)
        states = (checkpoint.network, checkpoint.optimizer, checkpoint.precision, checkpoint.ema or {})
        if not all(type(count) is int and count >= 0 for count in counts) or not all(
            isinstance(state, dict) for state in states
        ):
            raise EveryposeError(f"{path} is damaged: a field of the training checkpoint has an impossible value")
        return checkpoint


class CheckpointClock:
    """Schedule of checkpoints: by minutes, by steps, and at epoch ends.

    At epoch ends only if the last checkpoint is at least half a minute old, for epochs of seconds. The first checkpoint
    is due after a minute, or sooner by ``minutes``, so that a short run has one, too.

    >>> clock = CheckpointClock(minutes=10, steps=100)
    >>> clock.due(step=100, epoch_ended=False), clock.due(step=101, epoch_ended=False)
    (True, False)
    """

    def __init__(self, minutes: float, steps: int) -> None:
        self._minutes = minutes
        self._steps = steps
        self._last = time.monotonic()
        self._any = False

    def due(self, step: int, epoch_ended: bool) -> bool:
        """Whether to write one after step number ``step``."""
        seconds = time.monotonic() - self._last
        by_steps = self._steps > 0 and step % self._steps == 0
        minutes = self._minutes if self._any else min(self._minutes, FIRST_MINUTES)
        return by_steps or seconds >= 60 * minutes or (epoch_ended and seconds >= 30)

    def written(self) -> None:
        """Restart the interval after a checkpoint was written."""
        self._last = time.monotonic()
        self._any = True
