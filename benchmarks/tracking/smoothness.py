"""Jitter and lag of keypoints: raw, smoothed live and smoothed offline."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.tracking.clips import Clip
from everypose.core.arrays import Float64, Image, Mask
from everypose.data.images import read_image
from everypose.inference.loading import load
from everypose.people import People
from everypose.tracking.motion import box_scale, center_and_size
from everypose.tracking.offline import track_offline
from everypose.tracking.smoothing.offline import smooth_tracks
from everypose.tracking.smoothing.one_euro import LiveSmoother
from everypose.tracking.smoothing.settings import OfflineSmoothing

STANDING = 0.35
"""A person whose speed, in sizes per second, is lower than this stands still."""
CONFIDENT = 0.5
"""Keypoints are measured that score at least this share of the person's best in the frame."""
FREQUENCY = 0.5
"""Of the composed motion, hertz: a sway of the body."""
SWING = 0.25
"""Amplitude of the composed motion, in image heights."""

Way = Callable[[Sequence[People], Sequence[float]], list[People]]


def live(people: Sequence[People], times: Sequence[float]) -> list[People]:
    """One-Euro with its defaults."""
    smoother = LiveSmoother()
    return [smoother.update(found, time) for found, time in zip(people, times, strict=True)]


WAYS: dict[str, Way] = {
    "raw": lambda people, _: list(people),
    "live, One-Euro": live,
    "offline, Butterworth": smooth_tracks,
    "offline, Savitzky-Golay": lambda people, times: smooth_tracks(
        people, times, OfflineSmoothing(filter="savitzky-golay")
    ),
}


def track(people: Sequence[People], times: Sequence[float]) -> list[People]:
    """Ids, and boxes smoothed over the whole clip, without the frames and without hidden people."""
    tracked = track_offline(zip(times, people, strict=True))
    return [found[np.flatnonzero(found.keypoints[..., 2].any(axis=1))] for found in tracked]


def jitter(tracked: Sequence[People], smoothed: Sequence[People], times: Sequence[float]) -> float:
    """Mean acceleration of the keypoints of standing people, in sizes per second squared; NaN if none stands.

    Which people stand still is decided by the tracked boxes, which are the same for every way of smoothing.
    """
    found = []
    for before, now, after in zip(range(len(times)), range(1, len(times)), range(2, len(times)), strict=False):
        steps = times[now] - times[before], times[after] - times[now]
        for number in set.intersection(*(set(_ids(tracked[frame])) for frame in (before, now, after))):
            boxes = [_of(tracked[frame], number).boxes[0] for frame in (before, after)]
            size = float(box_scale(center_and_size(boxes[0])[1])[0])
            centers = [(box[:2] + box[2:]) / 2 for box in boxes]
            if np.linalg.norm(centers[1] - centers[0]) > STANDING * size * sum(steps):
                continue
            points = [_of(smoothed[frame], number).keypoints[0] for frame in (before, now, after)]
            confident = np.min([_is_confident(pose[:, 2]) for pose in points], axis=0)
            speeds = [(points[n + 1][confident, :2] - points[n][confident, :2]) / steps[n] for n in (0, 1)]
            found.append(np.linalg.norm(speeds[1] - speeds[0], axis=1) / np.mean(steps) / size)
    return float(np.concatenate(found).mean()) if found else math.nan


def composed(photo: Image, rate: float, seconds: float) -> tuple[list[Image], Float64, Float64]:
    """Frames of a photo that sways from side to side, their times, and the shift in pixels of each frame."""
    height, width = photo.shape[:2]
    times = np.arange(round(rate * seconds)) / rate
    shifts = np.round(SWING * height * np.sin(2 * np.pi * FREQUENCY * times)).astype(int)
    margin = int(np.abs(shifts).max())
    canvas = np.pad(photo, ((0, 0), (2 * margin, 2 * margin), (0, 0)), mode="edge")
    frames = [np.ascontiguousarray(canvas[:, margin - s : margin - s + width + 2 * margin]) for s in shifts.tolist()]
    return frames, times, shifts.astype(np.float64)


def lag(smoothed: Sequence[People], raw: Sequence[People], times: Float64, shifts: Float64) -> tuple[float, float]:
    """Seconds by which keypoints follow the known motion late, and the remaining error in sizes.

    The lag is the delay of the known motion that fits the keypoints best; the error is that of the keypoints where
    they should be, after the mean offset of each keypoint.
    """
    number = _ids(raw[0])[0]
    points = np.array([_of(found, number).keypoints[0] for found in smoothed])
    confident = np.mean([_is_confident(_of(found, number).keypoints[0, :, 2]) for found in raw], axis=0) > 0.9
    x = points[:, confident, 0] - points[:, confident, 0].mean(axis=0)
    size = float(box_scale(center_and_size(_of(raw[0], number).boxes)[1])[0])
    delays = np.arange(-0.1, 0.4, 0.001)
    inside = (times > 0.5) & (times < times[-1] - 0.2)
    errors = []
    for delay in delays:
        moved = np.interp(times - delay, times, shifts)
        difference = (x - (moved - moved.mean())[:, None])[inside]
        errors.append(np.sqrt(((difference - difference.mean(axis=0)) ** 2).mean()))
    error = x[inside] - (shifts - shifts.mean())[inside, None]
    return float(delays[int(np.argmin(errors))]), float(np.sqrt(((error - error.mean(axis=0)) ** 2).mean()) / size)


def measure_jitter(clip: Clip) -> dict[str, float]:
    """Jitter by way of smoothing."""
    times = [number / clip.rate for number in range(len(clip.people))]
    tracked = track(clip.people, times)
    return {name: jitter(tracked, way(tracked, times), times) for name, way in WAYS.items()}


def measure_lag(photo: Path, model: str, rate: float = 30.0, seconds: float = 6.0) -> dict[str, tuple[float, float]]:
    """Lag and error by way of smoothing, of the best person in a photo."""
    frames, times, shifts = composed(read_image(photo), rate, seconds)
    estimator = load(model)
    people = []
    for frame in frames:
        found = estimator(frame)[:1]
        people.append(People(found.keypoints, found.scores, found.skeleton, boxes=found.boxes, ids=[1] * len(found)))
    return {name: lag(way(people, times.tolist()), people, times, shifts) for name, way in WAYS.items()}


def _is_confident(scores: npt.NDArray[np.floating]) -> Mask:
    """(K,) keypoints whose score (K,) is high for the person."""
    confident: Mask = scores >= CONFIDENT * scores.max()
    return confident


def _ids(people: People) -> list[int]:
    return [] if people.ids is None else people.ids.tolist()


def _of(people: People, number: int) -> People:
    return people[np.flatnonzero(people.ids == number)]
