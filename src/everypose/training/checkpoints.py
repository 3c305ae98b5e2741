"""Training checkpoints: whole or not there, plain tensors and numbers, never unpickled as code."""

import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everypose.core.files import written_whole
from everypose.errors import EveryposeError

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` optimiser steps; the sample stream needs no more than that number."""

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
        """Write the checkpoint, whole or not at all."""
        # Through a Python file, because torch's own writer hides a full disk behind a RuntimeError.
        with written_whole(path) as part, part.open("wb") as stream:
            torch.save({name: getattr(self, name) for name in self.__dataclass_fields__}, stream)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint on the CPU.

        Raises:
            EveryposeError: the file is missing, damaged, no checkpoint of ours, or holds more than plain data.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise EveryposeError(f"there is no checkpoint {path}: nothing to resume from") from None
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EveryposeError(f"cannot read the checkpoint {path}: {reason}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != set(
            cls.__dataclass_fields__
        ):  # fmt: skip
            raise EveryposeError(f"{path} is not a training checkpoint of this version of everypose")
        return cls(**content)


class CheckpointClock:
    """Says when the next checkpoint is due: by the minutes, by the steps, and at epoch ends.

    Epochs of seconds would write without pause, so the end of an epoch counts only half a minute after the last file.
    """

    def __init__(self, minutes: float, steps: int) -> None:
        self._minutes = minutes
        self._steps = steps
        self._last = time.monotonic()

    def due(self, step: int, epoch_ended: bool) -> bool:
        """Whether to write one after step number ``step``."""
        seconds = time.monotonic() - self._last
        by_steps = self._steps > 0 and step % self._steps == 0
        return by_steps or seconds >= 60 * self._minutes or (epoch_ended and seconds >= 30)

    def written(self) -> None:
        """Start counting anew."""
        self._last = time.monotonic()
