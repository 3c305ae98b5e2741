"""Numbered image files as the frames of one video."""

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from everypose.data.images import read_image
from everypose.errors import EveryposeError, UsageError
from everypose.video.frames import VideoFrame, VideoSource
from everypose.video.selection import Selection

DEFAULT_RATE = Fraction(30)
"""Frames a second of image sequences if nothing else is given."""


class NumberedFrames(VideoSource):
    """Image files that are the frames of one video.

    A frame's number is the last number in its file name, so that a gap in the numbers is a gap in time: frame ``n`` is
    shown at ``(n - first) / rate`` seconds. Files without a number, or with repeated ones, count 0, 1, 2 in the order
    given.

    >>> from pathlib import Path
    >>> frames = NumberedFrames([Path("f_0010.png"), Path("f_0011.png"), Path("f_0015.png")], "f", rate=10)
    >>> frames.numbers
    [0, 1, 5]
    """

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        *,
        rate: float | Fraction = DEFAULT_RATE,
        selection: Selection | None = None,
    ) -> None:
        """Order the files by their numbers; nothing is read yet.

        Args:
            paths: the image files.
            name: what messages and tables call the video, such as the folder.
            rate: frames a second.
            selection: the frames to yield; all by default.

        Raises:
            UsageError: if there is no file or the rate is not positive.
        """
        if not paths:
            raise UsageError(f"{name} contains no images to be frames of a video")
        if not 0 < rate < math.inf:
            raise UsageError(f"--frame-rate must be a positive number of frames a second, not {rate}")
        self.name = name
        rate = _simple(Fraction(rate))
        self.frame_rate = rate
        self.time_base = 1 / rate
        self._selection = selection or Selection()
        self._stopped = False
        self.paths, self.numbers = _in_order(paths)
        self.duration = float((self.numbers[-1] + 1) / rate)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Read and yield the selected frames; unreadable ones are skipped and counted.

        Raises:
            EveryposeError: if none of the files is an image that can be read.
        """
        picker, found, problem = self._selection.picker(), False, ""
        for number, path in zip(self.numbers, self.paths, strict=True):
            time = float(number * self.time_base)
            if self._stopped or self._selection.is_past(time):
                break
            if not picker.takes(time):
                continue
            try:
                image = read_image(path)
            except EveryposeError as error:
                self.corrupt += 1
                problem = problem or str(error)
                continue
            found = True
            yield VideoFrame(number, time, image)
        if problem and not found:
            raise EveryposeError(f"{self.name} contains no frame that can be read: {problem}")

    def stop(self) -> None:
        """End the iteration after the present frame."""
        self._stopped = True

    def close(self) -> None:
        """Stop; no file is held open."""
        self._stopped = True


def _simple(rate: Fraction) -> Fraction:
    """Return the simple fraction nearest to a rate, such as 1/3600 for a picture each hour."""
    return rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)


def _in_order(paths: Sequence[Path]) -> tuple[list[Path], list[int]]:
    """Return the files in the order of their numbers, and the numbers from 0."""
    matches = [re.search(r"(\d+)\D*$", path.stem) for path in paths]
    numbers = [int(match[1]) for match in matches if match]
    if len(set(numbers)) < len(paths):
        return list(paths), list(range(len(paths)))
    ordered = sorted(zip(numbers, paths, strict=True))
    first = ordered[0][0]
    return [path for _, path in ordered], [number - first for number, _ in ordered]
