"""Differences between GPU and CPU for measurements, and their number formats."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Device:
    """A device of torch.

    Attributes:
        name: of torch.
        wait: returns when all work is done.
        forget_peak: resets the peak of its memory.
        peak: the most bytes that were held since.
    """

    name: str
    wait: Callable[[], None]
    forget_peak: Callable[[], None]
    peak: Callable[[], int]


GPU = Device("cuda", torch.cuda.synchronize, torch.cuda.reset_peak_memory_stats, torch.cuda.max_memory_allocated)
CPU = Device("cpu", lambda: None, lambda: None, lambda: 0)


@dataclass(frozen=True)
class Precision:
    """How numbers are kept, and whether products and convolutions of float32 may be in TF32."""

    name: str
    dtype: torch.dtype
    tf32: bool = False


FLOAT32 = Precision("float32", torch.float32)
TF32 = Precision("TF32", torch.float32, tf32=True)
BF16 = Precision("bf16", torch.bfloat16)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Inside the block, float32 may or may not be computed in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
