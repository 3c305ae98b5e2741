"""The trackers of the package `trackers` on the same detections, with a random search of their parameters."""

import logging
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.tracking.clips import Clip
from everypose.people import People
from everypose.tracking.external import ExternalTracker

NAMES = ("SORTTracker", "ByteTrackTracker", "OCSORTTracker", "BoTSORTTracker", "CBIoUTracker")
THRESHOLDS = ("high_conf_det_threshold", "track_activation_threshold")
USUAL = 0.6
SCORES = (0.4, 0.85)
"""The range of thresholds that is searched; lower ones take in many false detections (see the evidence page)."""


@dataclass(frozen=True)
class Trial:
    """A tracker with parameters.

    Attributes:
        name: of the class.
        parameters: its keyword arguments; the frame rate is the clip's.
        lowest_score: detections below it are left out.
    """

    name: str
    parameters: dict[str, float]
    lowest_score: float = 0.1


def trials(name: str, count: int, seed: int = 0) -> Iterator[Trial]:
    """The usual thresholds with all other defaults, and then random parameters of the package's own search space."""
    import trackers  # type: ignore[import-not-found]

    tracker = getattr(trackers, name)
    space = {key: spec for key, spec in tracker.search_space.items() if not key.startswith("cmc")}
    yield Trial(name, {key: USUAL for key in THRESHOLDS if key in space})
    rng = random.Random(f"{name} {seed}")
    for _ in range(count):
        chosen: dict[str, float] = {}
        for key, spec in space.items():
            if key in THRESHOLDS:
                chosen[key] = rng.uniform(*SCORES)
            elif spec["type"] == "randint":
                chosen[key] = rng.randrange(*spec["range"])
            else:
                chosen[key] = rng.uniform(*spec["range"])
        chosen["minimum_consecutive_frames"] = rng.choice([1, 2, 3])
        yield Trial(name, chosen, rng.choice([0.1, 0.2, 0.3, 0.4]))


def run(trial: Trial, clip: Clip, people: list[People] | None = None, *, with_frames: bool = True) -> list[People]:
    """The tracked people of every frame.

    Args:
        trial: tracker and parameters.
        clip: the clip.
        people: default: those that the detector found.
        with_frames: give the frames to the tracker, for camera motion; it is switched off otherwise.
    """
    import trackers

    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    options: dict[str, object] = dict(trial.parameters)
    if not with_frames and trial.name == "BoTSORTTracker":
        options["enable_cmc"] = False
    tracker = ExternalTracker(getattr(trackers, trial.name)(frame_rate=clip.rate, **options))
    frames = clip.frames() if with_frames and trial.name == "BoTSORTTracker" else iter(lambda: None, 0)
    return [
        tracker.update(found[np.flatnonzero(found.scores >= trial.lowest_score)], number / clip.rate, image=image)
        for number, (found, image) in enumerate(zip(people or clip.people, frames, strict=False))
    ]
