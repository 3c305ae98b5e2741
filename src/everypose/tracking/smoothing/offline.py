"""Smoothing of the poses of a whole video: outliers removed, gaps filled, filtered without lag."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.errors import UsageError
from everypose.people import People
from everypose.people.conversion import distinct_ids
from everypose.tracking.motion import box_scale, center_and_size
from everypose.tracking.smoothing.filters import (
    Filter,
    apply_filter,
    butterworth,
    fill_gaps,
    outliers,
    savitzky_golay,
)
from everypose.tracking.smoothing.settings import OfflineSmoothing

SMALLEST_OUTLIER = 0.05
"""Deviations below this share of a person's size are no outliers."""


def smooth_tracks(
    people: Sequence[People], times: Sequence[float], settings: OfflineSmoothing | None = None
) -> list[People]:
    """Smooth the keypoints of tracked people over a whole video.

    Ids are kept apart and gaps longer than ``longest_gap`` are not bridged. Scores of found keypoints and boxes of
    found people stay as they are; those of filled gaps lie on straight lines. The given people do not change.

    Args:
        people: of each frame, with ids.
        times: of the frames in seconds, rising.
        settings: of the filters.

    Raises:
        UsageError: if there are people without ids or with the same, or times do not rise or are not one a frame.
        MissingDependencyError: if a filter is chosen and scipy is not installed.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> skeleton = Skeleton("point", ("only",), (), (), (0.1,))
        >>> poses = ([[[1.0, 5.0, 1.0]]], [[[2.0, 5.0, 1.0]]], [[[3.0, 5.0, 1.0]]])
        >>> frames = [People(pose, [0.9], skeleton, ids=[1]) for pose in poses]
        >>> len(smooth_tracks(frames, [0.0, 0.1, 0.2], OfflineSmoothing(filter=None)))
        3
    """
    settings = settings or OfflineSmoothing()
    moments = np.asarray(times, dtype=np.float64)
    if moments.shape != (len(people),) or (np.diff(moments) <= 0).any():
        raise UsageError(f"{len(moments)} times for {len(people)} frames: give one each, and rising")
    chosen = _filter(settings)
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for frame, found in enumerate(people):
        if found.ids is None and len(found):
            raise UsageError(f"frame {frame}: only tracked people can be smoothed, and they have no ids")
        for row, number in enumerate(distinct_ids(found)):
            places[number].append((frame, row))
    smoothed = [found.keypoints.astype(np.float64) for found in people]
    filled: list[list[tuple[int, Float64, float, Float64]]] = [[] for _ in people]
    for number, found_at in places.items():
        frames, rows = np.array(found_at).T
        track = _Track.read(people, frames, rows)
        keypoints = track.smooth(moments, settings, chosen)
        boxes, scores = track.between(moments)
        for place, frame in enumerate(track.every.tolist()):
            row = int(track.row_of[place])
            if row >= 0:
                smoothed[frame][row] = keypoints[place]
            elif keypoints[place, :, 2].any():
                filled[frame].append((number, keypoints[place], float(scores[place]), boxes[place]))
    return [
        _with_filled(found, keypoints, more) for found, keypoints, more in zip(people, smoothed, filled, strict=True)
    ]


class _Track:
    """One person in all frames from the first to the last.

    Attributes:
        every: (M,) positions of these frames.
        row_of: (M,) row in the frame's people; -1 where the person is not found.
        keypoints: (M, K, 3), NaN where not found.
        boxes: (M, 4), NaN where not found.
        scores: (M,), NaN where not found.
    """

    def __init__(self, every: Int64, row_of: Int64, keypoints: Float64, boxes: Float64, scores: Float64) -> None:
        self.every, self.row_of = every, row_of
        self.keypoints, self.boxes, self.scores = keypoints, boxes, scores

    @classmethod
    def read(cls, people: Sequence[People], frames: Int64, rows: Int64) -> "_Track":
        """Collect one person's rows."""
        every = np.arange(frames[0], frames[-1] + 1)
        place = frames - frames[0]
        count = len(people[frames[0]].skeleton)
        row_of = np.full(len(every), -1)
        keypoints, boxes = np.full((len(every), count, 3), np.nan), np.full((len(every), 4), np.nan)
        scores = np.full(len(every), np.nan)
        row_of[place] = rows
        for at, frame, row in zip(place.tolist(), frames.tolist(), rows.tolist(), strict=True):
            keypoints[at] = people[frame].keypoints[row]
            boxes[at], scores[at] = people[frame].boxes[row], people[frame].scores[row]
        return cls(every, row_of, keypoints, boxes, scores)

    def smooth(self, times: Float64, settings: OfflineSmoothing, chosen: Filter | None) -> Float64:
        """(M, K, 3) keypoints; 0 where a person or keypoint is not found and not filled in."""
        moments = times[self.every]
        count = self.keypoints.shape[1]
        raw = self.keypoints.copy()
        raw[~(raw[..., 2] > 0)] = np.nan
        curves = raw[..., :2].reshape(len(raw), 2 * count)
        size = float(np.median(box_scale(center_and_size(self.boxes[self.row_of >= 0])[1])))
        far = outliers(
            curves,
            window=settings.outlier_window,
            deviations=settings.outlier_deviations,
            smallest=SMALLEST_OUTLIER * size,
        )
        # A keypoint is one point: both coordinates are wrong where one is.
        wrong = np.repeat(np.any(far.reshape(-1, count, 2), axis=2), 2, axis=1)
        curves = fill_gaps(moments, np.where(wrong, np.nan, curves), settings.longest_gap)
        if chosen is not None:
            curves = apply_filter(moments, curves, chosen)
        points = curves.reshape(len(raw), count, 2)
        scores = fill_gaps(moments, raw[..., 2], settings.longest_gap)
        done = np.all(np.isfinite(points), axis=2)
        # What has no smoothed position, such as an outlier at the end, keeps the raw one.
        found = self.keypoints[..., :2]
        points = np.where(done[..., None], points, np.where(np.isfinite(found), found, 0.0))
        scores = np.where(done | np.isfinite(raw[..., 2]), np.nan_to_num(scores), 0.0)
        return np.concatenate([points, scores[..., None]], axis=2)

    def between(self, times: Float64) -> tuple[Float64, Float64]:
        """Boxes (M, 4) and scores (M,), on straight lines where the person is not found."""
        both = fill_gaps(times[self.every], np.column_stack([self.boxes, self.scores]), np.inf)
        return both[:, :4], both[:, 4]


def _filter(settings: OfflineSmoothing) -> Filter | None:
    if settings.filter == "butterworth":
        return butterworth(cutoff=settings.cutoff, order=settings.order)
    if settings.filter == "savitzky-golay":
        return savitzky_golay(window=settings.window, degree=settings.degree)
    return None


def _with_filled(found: People, keypoints: Float64, filled: Sequence[tuple[int, Float64, float, Float64]]) -> People:
    """The people with smoothed keypoints, followed by those who were filled in."""
    ids = [] if found.ids is None else found.ids.tolist()
    return People(
        np.concatenate([keypoints, *[pose[None] for _, pose, _, _ in filled]]),
        np.concatenate([found.scores, [score for _, _, score, _ in filled]]),
        found.skeleton,
        boxes=np.concatenate([found.boxes, *[box[None] for *_, box in filled]]),
        image=found.image,
        ids=[*ids, *[number for number, *_ in filled]],
    )
