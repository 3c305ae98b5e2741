"""Crops of a small model, some on each CPU thread at the same time."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Mask
from everypose.inference.runtimes.onnx import OnnxCropRuntime
from everypose.inference.runtimes.protocols import Session

LARGEST_FILE = 32 * 2**20
"""Bytes of the largest file that is opened a second time, since its weights are then twice in memory."""
MOST_TOGETHER = 4
"""Crops of one run on one thread. More do not stay in a core's cache."""


class ParallelCropRuntime(OnnxCropRuntime):
    """A top-down model that runs several crops at the same time, each batch of them on one thread.

    A small network has hundreds of layers of some ten microseconds each, after each of which the threads of one run
    wait for each other. Runs of one thread each do not wait.

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> from everypose.models.locate import bundled
        >>> path = bundled("mipnet-lite.onnx")
        >>> runtime = ParallelCropRuntime(open_session(path, 2), open_session(path, 1), path, threads=2)
        >>> runtime.run(np.zeros((3, 256, 192, 3), np.uint8)).shape
        (3, 2, 17, 3)
    """

    def __init__(
        self, session: Session, of_one_thread: Session, path: str | Path, *, threads: int, flip: bool = False
    ) -> None:
        """Take the file, opened twice.

        Args:
            session: with all threads, for a single crop.
            of_one_thread: with one thread, for several crops.
            path: the file, for messages.
            threads: runs at the same time.
            flip: whether to use test-time flip augmentation.

        Raises:
            EveryposeError: if the file is not a top-down model of everypose.
        """
        super().__init__(session, path, flip=flip)
        self._of_one_thread = OnnxCropRuntime(of_one_thread, path, flip=flip)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="crops")

    def run(self, crops: npt.NDArray[np.uint8], others: Mask | None = None) -> Float32:
        """Find the people of a batch of crops; see `CropRuntime.run`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails (out of memory).
        """
        if len(crops) < 2:
            return super().run(crops, others)
        step = number_of_parts(len(crops), self._threads)
        # Every part has some of the first crops, whose boxes score highest and which have most of the others.
        parts = [slice(first, None, step) for first in range(step)]
        needed = [None if others is None else others[part] for part in parts]
        found = list(self._pool.map(self._of_one_thread.run, [crops[part] for part in parts], needed))
        keypoints = np.empty((len(crops), *found[0].shape[1:]), np.float32)
        for part, rows in zip(parts, found, strict=True):
            keypoints[part] = rows
        return keypoints


def number_of_parts(crops: int, threads: int) -> int:
    """Into how many parts crops are divided, so that all threads have as many parts of a few crops each.

    >>> [number_of_parts(crops, threads=2) for crops in (2, 5, 8, 9, 16)]
    [2, 2, 2, 4, 4]
    """
    return min(crops, threads * math.ceil(crops / (threads * MOST_TOGETHER)))
