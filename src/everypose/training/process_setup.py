"""What a training run changes in the state of the whole process: threads, seeds, warnings, loggers, exit hooks."""

import atexit
import ctypes
import logging
import os
import platform
import warnings

import cv2
import torch

EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    r"index_reduce\(\) is in beta.*",
    "Grad strides do not.*",
)
"""Warnings of torch and Lightning that a training run causes on purpose."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""


def use_one_opencv_thread() -> None:
    """Make OpenCV run in the calling thread, for a process whose loader workers are the parallelism.

    A worker that is forked from a process with OpenCV's thread pool would wait for threads that it does not have.

    >>> threads = cv2.getNumThreads()
    >>> use_one_opencv_thread()
    >>> cv2.getNumThreads()
    1
    >>> cv2.setNumThreads(threads)
    """
    cv2.setNumThreads(1)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation, where the process uses glibc.

    A training step allocates the same sizes again and again. By default glibc returns arrays of some megabytes to the
    system as soon as they are freed, and the system must clear and map every page of the next one again. The process
    then keeps the most memory that it used.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(parameter, 2**31 - 1)


def seed_torch(seed: int) -> None:
    """Seed torch's generators, on all devices.

    >>> seed_torch(5)
    >>> first = torch.rand(1)
    >>> seed_torch(5)
    >>> torch.equal(torch.rand(1), first)
    True
    """
    torch.manual_seed(seed)


def prepare_training() -> None:
    """Silence what Lightning says of runs that are set up on purpose, keep memory, and leave process groups cleanly.

    Loader workers are forked from this process, and keep their memory, too.
    """
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    atexit.unregister(_leave_process_group)
    atexit.register(_leave_process_group)


def process_rank() -> int:
    """Return the number of this process among all, as the launcher says it before Lightning has joined them.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"RANK": "2"}):
    ...     process_rank()
    2
    """
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or os.environ.get("LOCAL_RANK") or 0)


def _leave_process_group() -> None:
    """Leave gloo's process group at exit, while the interpreter is intact: leaving waits for the group's threads.

    Gloo's threads release a collective's tensors some time after it is done, and need the interpreter for that. If it
    is ending already, the process dies of SIGABRT. The group is left no earlier, because the next training in this
    process uses it again: a second group sometimes fails to connect (seen with torch 2.13).
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
        distributed.destroy_process_group()
