"""Tracked people on disk, for formats with columns or files for each person, which need all frames first."""

import tempfile
from abc import abstractmethod
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError, UsageError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.skeleton.skeleton import Skeleton


class TrackedRows:
    """Collects the keypoints of tracked people in a temporary file, so that memory does not grow with the video.

    Attributes:
        frames: the numbers of the frames so far, with or without people.
        times: their times in seconds.
        skeleton: what the keypoints are; None before the first frame.

    >>> from everypose.people import People
    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)), ids=[4])
    >>> rows = TrackedRows(Path("clip.csv"))
    >>> rows.add(FrameResult("clip.mp4", people, frame=0, time=0.0))
    >>> rows.rows()["id"].tolist()
    [4]
    >>> rows.close()
    """

    def __init__(self, path: Path) -> None:
        """Create the temporary file.

        Args:
            path: the output, for error messages.
        """
        self.frames: list[int] = []
        self.times: list[float] = []
        self.skeleton: Skeleton | None = None
        self._path = path
        self._file = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115  # closed by close()

    def add(self, result: FrameResult) -> None:
        """Append the people of one frame.

        Raises:
            UsageError: if the result is that of a photo, or its people are not tracked.
            EveryposeError: if the disk is full, or the frame has another skeleton than those before.
        """
        if result.frame is None or result.time is None:
            raise UsageError(f"{self._path} is for videos: photos have no time; save csv instead")
        if len(result.people) and result.people.ids is None:
            raise UsageError(f"{self._path} holds one line of movement for each person: track them, with --track")
        if self.skeleton is None:
            self.skeleton = result.people.skeleton
        if self.skeleton.keypoints != result.people.skeleton.keypoints:
            raise EveryposeError(f"{self._path} cannot hold people of different skeletons")
        self.frames.append(result.frame)
        self.times.append(result.time)
        rows = np.empty(len(result.people), self._dtype(self.skeleton))
        rows["position"] = len(self.frames) - 1
        rows["id"] = result.people.ids
        rows["keypoints"] = result.people.keypoints
        try:
            self._file.write(rows.tobytes())
        except OSError as error:
            raise EveryposeError(f"cannot write {self._path}: {error.strerror or error}") from error

    @staticmethod
    def _dtype(skeleton: Skeleton) -> np.dtype[np.void]:
        return np.dtype([("position", "<i8"), ("id", "<i8"), ("keypoints", "<f4", (len(skeleton), 3))])

    def rows(self) -> npt.NDArray[np.void]:
        """Return all rows, read from the disk as they are used.

        Returns:
            (R,) in the order of the frames: ``position`` in `frames`, ``id``, ``keypoints`` (K, 3).
        """
        self._file.flush()
        if self.skeleton is None or self._file.tell() == 0:
            return np.empty(0, np.dtype([("position", "<i8"), ("id", "<i8"), ("keypoints", "<f4", (0, 3))]))
        return np.memmap(self._file, self._dtype(self.skeleton), mode="r")

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


class TrackedWriter(ResultsWriter):
    """Collects the tracked people of a video, and writes them when it is closed.

    >>> class Counter(TrackedWriter):
    ...     def write(self, collected):
    ...         print(len(collected.rows()))
    >>> Counter(Path("count.txt")).close()
    0
    """

    def __init__(self, path: Path) -> None:
        """Start to collect; ``path`` is the file or folder that is written."""
        self.path = path
        self._collected = TrackedRows(path)

    def add(self, result: FrameResult) -> None:
        """Collect the people of one frame.

        Raises:
            UsageError: if the result is that of a photo, or its people are not tracked.
        """
        self._collected.add(result)

    def close(self) -> None:
        """Write the files.

        Raises:
            EveryposeError: if one cannot be written.
        """
        with closing(self._collected) as collected:
            self.write(collected)

    @abstractmethod
    def write(self, collected: TrackedRows) -> None:
        """Write what was collected; errors as `close`."""
