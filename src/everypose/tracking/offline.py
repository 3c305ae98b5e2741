"""Tracking of a whole video, where later frames may decide about earlier ones.

Identities are those of :class:`Tracker`, but a track counts from its first detection on, boxes are smoothed forwards
and backwards in time, and people who were not detected for a while are filled in.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Image
from everypose.errors import UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.tracking.body_mass import BodyMass
from everypose.tracking.box_smoothing import smooth_boxes
from everypose.tracking.settings import TrackerSettings
from everypose.tracking.tracker import Tracker

LONGEST_GAP = 3.0
"""Seconds without a detection that are filled in, by default."""


@dataclass
class _Track:
    """Detections of one person: positions of the frames and rows in their people."""

    frames: list[int]
    rows: list[int]
    reliability: list[float]


class OfflineTracker:
    """Collects the people of all frames of a video, and then gives them ids.

    Args:
        skeleton: of the people.
        settings: of the tracker.
        longest_gap: seconds without a detection that are filled in.

    Example:
        >>> tracker = OfflineTracker(Skeleton.named("coco"))
        >>> def person(x):
        ...     return People(np.full((1, 17, 3), x + 1), [0.9], tracker.skeleton, boxes=[[x, 0, x + 40, 100]])
        >>> for time, x in ((0.0, 0), (0.1, 3), (0.2, 6)):
        ...     tracker.add(person(x), time)
        >>> [people.ids.tolist() for people in tracker.finish()]
        [[1], [1], [1]]
    """

    def __init__(
        self, skeleton: Skeleton, settings: TrackerSettings | None = None, *, longest_gap: float = LONGEST_GAP
    ) -> None:
        self.skeleton = skeleton
        self.settings = settings or TrackerSettings()
        self.longest_gap = longest_gap
        self._mass = BodyMass(skeleton)
        self._tracker = Tracker(skeleton, self.settings)
        self._people: list[People] = []
        self._times: list[float] = []
        self._tracks: dict[int, _Track] = defaultdict(lambda: _Track([], [], []))
        self._confirmed: set[int] = set()

    def add(self, people: People, time: float, *, image: Image | None = None) -> None:
        """Take the next frame into account; arguments and errors as :meth:`Tracker.update`."""
        tracks = self._tracker.follow(people, time, image=image)
        frame = len(self._times)
        # The picture is not kept: memory holds the poses of all frames, and no frame.
        self._people.append(People(people.keypoints, people.scores, people.skeleton, boxes=people.boxes))
        self._times.append(time)
        seen = tracks.select(tracks.rows >= 0)
        reliability = self._tracker.scores.reliability(seen.scores)
        for number, row, sure in zip(seen.ids.tolist(), seen.rows.tolist(), reliability.tolist(), strict=True):
            track = self._tracks[number]
            track.frames.append(frame)
            track.rows.append(row)
            track.reliability.append(sure)
        self._confirmed.update(tracks.ids[tracks.confirmed].tolist())

    def finish(self) -> list[People]:
        """The people of every frame, with ids, numbered by when they appear."""
        found: list[list[tuple[int, People]]] = [[] for _ in self._times]
        for number, track in enumerate(self._joined(), 1):
            for frame, person in self._filled(track):
                found[frame].append((number, person))
        return [_concatenated(people, self.skeleton) for people in found]

    def _joined(self) -> list[_Track]:
        """The tracks to return, by the first frame; those that were recognized later as one."""
        joined: dict[int, _Track] = {}
        for number in sorted(self._tracks):
            own = self._tracks[number]
            first = number
            while first in self._tracker.renamed:
                first = self._tracker.renamed[first]
            if not {number, first} & self._confirmed:
                continue
            track = joined.setdefault(first, _Track([], [], []))
            track.frames += own.frames
            track.rows += own.rows
            track.reliability += own.reliability
        for track in joined.values():
            order = np.argsort(track.frames, kind="stable")
            for name in ("frames", "rows", "reliability"):
                setattr(track, name, [getattr(track, name)[place] for place in order])
        # Online, one confident detection is enough, as the next is not known yet; here a person is found again.
        sure = [
            one
            for one in joined.values()
            if len(one.frames) > 1 and np.mean(one.reliability) >= self.settings.min_reliability
        ]
        return sorted(sure, key=lambda track: track.frames[0])

    def _filled(self, track: _Track) -> list[tuple[int, People]]:
        """(frame, one person) of a track's frames, with those of its short gaps."""
        frames, times = np.array(track.frames), np.array(self._times)
        gaps = np.diff(times[frames])
        kept = [
            frame
            for start, end, gap in zip(frames[:-1].tolist(), frames[1:].tolist(), gaps.tolist(), strict=True)
            for frame in range(start, end if gap <= self.longest_gap else start + 1)
        ]
        every = np.array([*kept, frames[-1]])
        detected = np.searchsorted(every, frames)
        own = [self._people[frame][[row]] for frame, row in zip(track.frames, track.rows, strict=True)]
        boxes = np.concatenate([person.boxes for person in own]).astype(np.float64)
        keypoints = np.concatenate([person.keypoints for person in own]).astype(np.float64)
        scores = np.concatenate([person.scores for person in own]).astype(np.float64)
        smoothed = smooth_boxes(
            times[every],
            detected,
            self._mass.centered_boxes(keypoints, boxes),
            np.array(track.reliability),
            self.settings.motion,
        )
        poses = _interpolate(times[frames], keypoints.reshape(len(frames), -1), times[every]).reshape(
            len(every), *keypoints.shape[1:]
        )
        hidden = np.setdiff1d(np.arange(len(every)), detected)
        poses[hidden, :, 2] = 0
        score = _interpolate(times[frames], scores[:, None], times[every])[:, 0]
        return [
            (int(frame), People(poses[[place]], score[[place]], self.skeleton, boxes=smoothed[[place]]))
            for place, frame in enumerate(every)
        ]


def track_offline(
    frames: Iterable[tuple[float, People]], settings: TrackerSettings | None = None, *, longest_gap: float = LONGEST_GAP
) -> list[People]:
    """Track the people of a whole video.

    Args:
        frames: time in seconds and people of each frame, in order.
        settings: of the tracker.
        longest_gap: seconds without a detection that are filled in.

    Returns:
        The people of each frame, with ids. People who were not detected are in predicted boxes; the scores of their
        keypoints are 0.

    Raises:
        UsageError: if there is no frame, times do not advance or skeletons differ.

    Example:
        >>> skeleton = Skeleton("point", ("only",), (), (), (0.1,))
        >>> def frame(x):
        ...     return People([[[x, 50, 1.0]]], [0.9], skeleton, boxes=[[x - 10, 30, x + 10, 70]])
        >>> [people.ids.tolist() for people in track_offline([(0.0, frame(20)), (0.1, frame(21)), (0.2, frame(22))])]
        [[1], [1], [1]]
    """
    tracker: OfflineTracker | None = None
    for time, people in frames:
        if tracker is None:
            tracker = OfflineTracker(people.skeleton, settings, longest_gap=longest_gap)
        tracker.add(people, time)
    if tracker is None:
        raise UsageError("there are no frames to track")
    return tracker.finish()


def _interpolate(times: Float64, values: Float64, at: Float64) -> Float64:
    """Values (N, C) at (M,) other times, by straight lines."""
    return np.stack([np.interp(at, times, column) for column in values.T], axis=1)


def _concatenated(people: Sequence[tuple[int, People]], skeleton: Skeleton) -> People:
    """Concatenate several people, detected ones first."""
    if not people:
        return People(np.zeros((0, len(skeleton), 3)), np.zeros(0), skeleton, boxes=np.zeros((0, 4)), ids=np.zeros(0))
    order = sorted(people, key=lambda one: not one[1].keypoints[..., 2].any())
    return People(
        np.concatenate([person.keypoints for _, person in order]),
        np.concatenate([person.scores for _, person in order]),
        skeleton,
        boxes=np.concatenate([person.boxes for _, person in order]),
        ids=[number for number, _ in order],
    )
