"""Tracking of saved results, without the network: new ids, filled gaps and smoothed poses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from everypose.errors import EveryposeError, UsageError
from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.tracking.offline import LONGEST_GAP, track_offline
from everypose.tracking.settings import TrackerSettings
from everypose.tracking.smoothing.offline import smooth_tracks
from everypose.tracking.smoothing.settings import OfflineSmoothing

MOST_EMPTY_FRAMES = 10_000
"""Between two results: a file whose numbers and times do not fit must not take all memory."""


def retrack(
    results: Iterable[FrameResult],
    settings: TrackerSettings | None = None,
    *,
    smoothing: OfflineSmoothing | None = None,
    longest_gap: float = LONGEST_GAP,
) -> Iterator[FrameResult]:
    """Track the people in saved results of videos again.

    Ids that the results have are not used, and people at predicted positions are dropped.

    Args:
        results: the frames of one video after the other, as `read_results` yields them. Frames without people may be
            missing.
        settings: of the tracker.
        smoothing: of the poses; None: they stay as they are.
        longest_gap: seconds without a detection in which a person is filled in.

    Raises:
        UsageError: if there are results of photos.
        EveryposeError: if the frames of a video are not together and in order.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> pose = np.random.default_rng(0).uniform(10, 90, (1, 17, 3)).clip(0.5)
    >>> people = People(pose, [0.9], Skeleton.named("coco"), ids=[7])
    >>> frames = [FrameResult("clip.mp4", people, frame=i, time=i / 10) for i in range(5)]
    >>> [result.people.ids.tolist() for result in retrack(frames)]
    [[1], [1], [1], [1], [1]]
    """
    seen: set[str] = set()
    for file, group in groupby(results, key=lambda result: result.file):
        if file in seen:
            raise EveryposeError(f"the frames of {file} are not together: they cannot be tracked")
        seen.add(file)
        frames = with_empty_frames(list(group), longest_gap)
        times = [_time_of(frame) for frame in frames]
        detected = [_detected(frame.people) for frame in frames]
        people = track_offline(zip(times, detected, strict=True), settings, longest_gap=longest_gap)
        if smoothing is not None:
            people = smooth_tracks(people, times, smoothing)
        for frame, found in zip(frames, people, strict=True):
            yield replace(frame, people=found)


def with_empty_frames(results: Sequence[FrameResult], longest_gap: float) -> list[FrameResult]:
    """The frames of a video with those between them that have no result, because no one was detected there.

    The step between frames is the greatest common divisor of the differences of their numbers, so that a video of
    which one of N frames was processed keeps its step. Times of the empty frames lie evenly between the others'.

    Args:
        results: frames of one video, by rising number.
        longest_gap: seconds between two results up to which empty frames are added.

    Raises:
        UsageError: if a result is that of a photo.
        EveryposeError: if frames or times do not rise.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People.empty(Skeleton.named("coco"))
    >>> frames = [FrameResult("clip.mp4", people, frame=i, time=i / 10) for i in (0, 1, 4)]
    >>> [(result.frame, round(result.time, 1)) for result in with_empty_frames(frames, longest_gap=1.0)]
    [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    """
    numbers = [_number_of(result) for result in results]
    steps = np.diff(numbers)
    if (steps <= 0).any() or (np.diff([_time_of(result) for result in results]) <= 0).any():
        raise EveryposeError(f"the frames of {results[0].file} are not in order: numbers and times must rise")
    step = int(np.gcd.reduce(steps)) if len(steps) else 1
    complete = [results[0]]
    for result in results[1:]:
        if _time_of(result) - _time_of(complete[-1]) <= longest_gap:
            complete += _between(complete[-1], result, step)
        complete.append(result)
    return complete


def _between(before: FrameResult, after: FrameResult, step: int) -> list[FrameResult]:
    """The empty frames between two frames."""
    first, last = _number_of(before), _number_of(after)
    count = (last - first) // step
    if count > MOST_EMPTY_FRAMES:
        return []
    ids = _image_ids(before.image_id, after.image_id, count)
    no_people = People.empty(before.people.skeleton)
    share = (_time_of(after) - _time_of(before)) / count
    return [
        replace(
            before,
            people=no_people,
            frame=first + place * step,
            time=_time_of(before) + place * share,
            image_id=ids[place],
        )
        for place in range(1, count)
    ]


def _image_ids(before: int | None, after: int | None, count: int) -> list[int | None]:
    """COCO's numbers of the frames from one frame to another: consecutive ones where they fit between, else none."""
    if before is None or after is None or after - before != count:
        return [None] * count
    return list(range(before, after))


def _number_of(result: FrameResult) -> int:
    if result.frame is None:
        raise UsageError(f"{result.file} is a photo: only the people of videos can be tracked")
    return result.frame


def _time_of(result: FrameResult) -> float:
    if result.time is None:
        raise UsageError(f"frame {result.frame} of {result.file} has no time: only the people of videos can be tracked")
    return result.time


def _detected(people: People) -> People:
    """The people with a keypoint: those without one are predictions of an earlier tracking."""
    return people[np.flatnonzero(people.keypoints[..., 2].any(axis=1))]
