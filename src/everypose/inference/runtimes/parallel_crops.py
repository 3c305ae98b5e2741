"""A small top-down model whose crops are divided among the CPU threads."""

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
MOST_CROPS = 4
"""The most crops of one run: the activations of more exceed a core's cache."""


class ParallelCropRuntime(OnnxCropRuntime):
    """A top-down model that runs parts of a batch of crops at the same time, each part on one thread.

    A small network has hundreds of layers that take tens of microseconds each, and after each layer the threads of one
    run wait for each other. Runs on one thread each do not wait.

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> from everypose.models.locate import bundled
        >>> path = bundled("mipnet-lite.onnx")
        >>> runtime = ParallelCropRuntime(open_session(path, 2), open_session(path, 1), path, threads=2)
        >>> runtime.run(np.zeros((3, 256, 192, 3), np.uint8)).shape
        (3, 2, 17, 3)
    """

    def __init__(
        self, session: Session, single_threaded: Session, path: str | Path, *, threads: int, flip: bool = False
    ) -> None:
        """Take the file, opened twice.

        Args:
            session: with all threads, for a single crop.
            single_threaded: with one thread, for parts of a batch.
            path: the file, for messages.
            threads: the most runs at the same time.
            flip: whether to use test-time flip augmentation.

        Raises:
            EveryposeError: if the file is not a top-down model of everypose.
        """
        super().__init__(session, path, flip=flip)
        self._single_threaded = OnnxCropRuntime(single_threaded, path, flip=flip)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="crops")

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:
        """Find the people of a batch of crops; see `CropRuntime.run`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails (out of memory).
        """
        if len(crops) < 2:
            return super().run(crops, with_others)
        count = number_of_parts(len(crops), self._threads)
        # Interleaved, so that all parts take about as long: crops come by falling box score, and other people are
        # needed only in the first ones.
        parts = [slice(first, None, count) for first in range(count)]
        masks = [None if with_others is None else with_others[part] for part in parts]
        found = list(self._pool.map(self._single_threaded.run, [crops[part] for part in parts], masks))
        keypoints = np.empty((len(crops), *found[0].shape[1:]), np.float32)
        for part, rows in zip(parts, found, strict=True):
            keypoints[part] = rows
        return keypoints


def number_of_parts(crops: int, threads: int) -> int:
    """Return the number of parts of a batch: as many for each thread, of at most `MOST_CROPS` crops.

    >>> [number_of_parts(crops, threads=2) for crops in (2, 5, 8, 9, 16)]
    [2, 2, 2, 4, 4]
    """
    return min(crops, threads * math.ceil(crops / (threads * MOST_CROPS)))
