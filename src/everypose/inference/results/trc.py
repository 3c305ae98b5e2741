"""TRC files of OpenSim: the movement of one person as tab-separated text, ``NAME_person3.trc`` for the identity 3.

Markers are the keypoints: x to the right and y down, in pixels as in the image, z 0; cells of frames without the person
are empty. TRC has one rate: where the frame rate of the video varies, positions are interpolated to its mean rate.

Format: https://opensimconfluence.atlassian.net/wiki/spaces/OpenSim/pages/53089972
"""

from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.files import write_text
from everypose.inference.results.tracked_rows import TrackedRows, TrackedWriter

JITTER = 0.25
"""Share of the frame interval by which times may differ from an even rate without interpolation."""


class TrcWriter(TrackedWriter):
    """Writes one TRC file for each tracked person of a video when it is closed.

    >>> from everypose.inference.results.record import FrameResult
    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> point = Skeleton("point", ("tip",), (), (), (0.1,))
    >>> with TrcWriter(Path("trc"), "clip") as writer:
    ...     for frame in range(2):
    ...         people = People([[[1.5, 2.5, 0.9]]], [0.8], point, ids=[4])
    ...         writer.add(FrameResult("clip.mp4", people, frame=frame, time=frame / 10))
    >>> [path.name for path in Path("trc").iterdir()]
    ['clip_person4.trc']
    """

    def __init__(self, path: Path, name: str) -> None:
        """Start to collect.

        Args:
            path: the folder; it is made with the first file.
            name: what the files' names begin with.
        """
        super().__init__(path)
        self._name = name

    def write(self, collected: TrackedRows) -> None:
        """Write a file for each person."""
        rows = collected.rows()
        times = np.array(collected.times)
        order = np.argsort(rows["id"], kind="stable")
        ids, starts = np.unique(rows["id"][order], return_index=True)
        for identity, own in zip(ids.tolist(), np.split(order, starts)[1:], strict=True):
            markers = collected.skeleton.keypoints if collected.skeleton else ()
            positions = rows["keypoints"][own][..., :2].astype(np.float64)
            file = self.path / f"{self._name}_person{identity}.trc"
            write_text(file, _trc_text(file.name, markers, positions, rows["position"][own], times))


def _trc_text(name: str, markers: tuple[str, ...], positions: Float64, places: Int64, times: Float64) -> str:
    """Return the content of a TRC file.

    Args:
        name: the file's own name, for its first line.
        markers: K names.
        positions: (R, K, 2) x, y in pixels in the frames where the person is.
        places: (R,) the indices of these frames in ``times``.
        times: (F,) seconds of all frames of the video.
    """
    rate, grid = even_times(times)
    numbers, even = _resample(positions, places, times, grid)
    header = (
        f"PathFileType\t4\t(X/Y/Z)\t{name}\n"
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        f"{rate:.6g}\t{rate:.6g}\t{len(numbers)}\t{len(markers)}\tpx\t{rate:.6g}\t{numbers[0] + 1}\t{len(numbers)}\n"
        "Frame#\tTime\t" + "\t\t\t".join(markers) + "\t\t\n"
        "\t\t" + "\t".join(f"{axis}{index}" for index in range(1, len(markers) + 1) for axis in "XYZ") + "\t\n\n"
    )
    return header + "".join(
        f"{number + 1}\t{grid[number]:.6f}\t{_cells(frame)}\n"
        for number, frame in zip(numbers.tolist(), even, strict=True)
    )


def even_times(times: Float64) -> tuple[float, Float64]:
    """Return the mean rate in frames a second, and (F,) times at that rate over the same span.

    >>> even_times(np.array([0.0, 0.1, 0.3, 0.4]))
    (7.5, array([0.        , 0.13333333, 0.26666667, 0.4       ]))
    """
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    rate = (len(times) - 1) / span if span else 1.0
    return rate, times[0] + np.arange(len(times)) / rate


def _resample(positions: Float64, places: Int64, times: Float64, grid: Float64) -> tuple[Int64, Float64]:
    """Interpolate positions to even times, not over frames without the person.

    Returns:
        (M,) consecutive indices of the grid from the person's first to their last frame, and (M, K, 2) positions there,
        NaN where the person is not.
    """
    full = np.full((len(times), *positions.shape[1:]), np.nan)
    full[places] = positions
    if np.abs(times - grid).max() > JITTER * (grid[-1] - grid[0]) / max(1, len(grid) - 1):
        before = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, max(0, len(times) - 2))
        gap = times[before + 1] - times[before]  # 0 between frames of one time, of which the second is taken
        share = np.divide(grid - times[before], gap, out=np.ones(len(grid)), where=gap > 0)[:, None, None]
        # Where a frame is hit exactly, its neighbor, which may lack the person, must not count.
        left, right = full[before], np.where(share == 0, full[before], full[before + 1])
        full = np.where(share == 1, full[before + 1], left + share * (right - left))
    present = np.flatnonzero(~np.isnan(full[:, 0, 0]))
    if not len(present):
        present = places
    numbers = np.arange(present[0], present[-1] + 1)
    return numbers, full[numbers]


def _cells(frame: Float64) -> str:
    """Return one frame's cells: x, y, 0 for each marker, or empty ones."""
    if np.isnan(frame).any():
        return "\t" * 3 * len(frame)  # OpenSim counts an empty last cell only if a tab follows it
    return "\t".join(f"{x:.4f}\t{y:.4f}\t0" for x, y in frame.tolist())
