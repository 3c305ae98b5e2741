"""Measure tracking and smoothing on clips with annotated identities.

    python -m benchmarks.tracking detect CLIP.mp4 --detector PICODET.onnx --poses TINYPOSE.onnx -o found.npz
    python -m benchmarks.tracking detect CLIP.mp4 --model mipnet-lite --min-score 0.3 -o found.npz
    python -m benchmarks.tracking compare --clip NAME CLIP.mp4 FPS GT.txt found.npz [--clip ...] [--trials 40]
    python -m benchmarks.tracking settings --clip ... [--trials 40]
    python -m benchmarks.tracking smooth --clip ... --photo PHOTO.jpg

``compare`` needs the package `trackers` (`make test-tracking` builds such an environment): all trackers get the same
detections, and each of the package's as many random trials of its parameters as --trials says.
"""

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.tracking.clips import Clip, find_people, find_people_with
from everypose.core.arrays import Float64
from everypose.errors import exit_on_user_error
from everypose.evaluation.tracking.evaluate import TrackingScores
from everypose.people import People
from everypose.tracking import motion, tracker
from everypose.tracking.body_mass import BodyMass
from everypose.tracking.offline import OfflineTracker
from everypose.tracking.settings import MotionSettings, TrackerSettings
from everypose.tracking.tracker import Tracker

SHOWN = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "IDF1")


def online(
    clip: Clip, settings: TrackerSettings, people: list[People] | None = None, *, frames: bool = True
) -> list[People]:
    """Everypose's tracker, frame by frame."""
    found = people or clip.people
    own = Tracker(found[0].skeleton, settings)
    images = clip.frames() if frames else iter(lambda: None, 0)
    return [
        own.update(one, number / clip.rate, image=image)
        for number, (one, image) in enumerate(zip(found, images, strict=False))
    ]


def offline(clip: Clip, settings: TrackerSettings, people: list[People] | None = None) -> list[People]:
    """Everypose's tracker over the whole clip."""
    found = people or clip.people
    own = OfflineTracker(found[0].skeleton, settings)
    for number, (one, image) in enumerate(zip(found, clip.frames(), strict=False)):
        own.add(one, number / clip.rate, image=image)
    return own.finish()


def show(name: str, clips: Sequence[Clip], tracked: Sequence[list[People]]) -> float:
    """Print a row for each clip; returns the mean HOTA."""
    total = 0.0
    for clip, people in zip(clips, tracked, strict=True):
        scores = TrackingScores.of(clip.compare(people))
        numbers, counts = scores.numbers(), scores.counts()
        shares = " | ".join(f"{100 * numbers[key]:.1f}" for key in SHOWN)
        print(f"| {name} | {clip.name} | {shares} | {counts['switches']} | {counts['fragments']} |", flush=True)
        total += numbers["HOTA"] / len(clips)
    return total


def compare(clips: Sequence[Clip], trials: int) -> None:
    """Tables: everypose and its ablation, the package's trackers, and both with the annotated boxes."""
    columns = " | ".join(("tracker", "clip", *SHOWN, "switches", "fragments"))
    print(f"| {columns} |\n|{'---|' * (len(SHOWN) + 4)}")
    default = TrackerSettings()
    show("everypose, online", clips, [online(clip, default) for clip in clips])
    show("everypose, offline", clips, [offline(clip, default) for clip in clips])
    for name, settings in {
        "without OKS": TrackerSettings(oks_weight=0),
        "OKS only": TrackerSettings(oks_weight=1),
        "hidden people not returned": TrackerSettings(hidden_seconds=0),
        "without re-association": TrackerSettings(reassociation_seconds=0),
        "without camera motion": TrackerSettings(camera_motion=False),
    }.items():
        show(f"online, {name}", clips, [online(clip, settings) for clip in clips])
    show("online, without frames (no colors)", clips, [online(clip, default, frames=False) for clip in clips])
    with patch.object(BodyMass, "centered_boxes", _as_detected):
        show("online, boxes around the detector's middle", clips, [online(clip, default) for clip in clips])
    with patch.object(tracker, "DETECTED_SHARE", 0.0):
        show("online, boxes of the motion model alone", clips, [online(clip, default) for clip in clips])
    confirmed_later = TrackerSettings(confirmation=1.2)
    show("online, two detections for an identity", clips, [online(clip, confirmed_later) for clip in clips])
    with patch.object(tracker, "FOLLOWED", math.inf):
        show("online, missed people not returned", clips, [online(clip, default) for clip in clips])
    with patch.multiple(motion, predict=_stay, correct=_replace):
        show("online, without a motion model", clips, [online(clip, default) for clip in clips])
    as_given = TrackerSettings(boxes="detected", hidden_seconds=0)
    show("annotated boxes: everypose, online", clips, [online(clip, as_given, clip.true_people()) for clip in clips])
    if trials:
        compare_with_package(clips, trials)


def _as_detected(mass: BodyMass, keypoints: Float64, boxes: Float64) -> Float64:
    """Instead of boxes around the center of mass: boxes as detected."""
    del mass, keypoints
    return boxes


def _stay(state: motion.Motion, seconds: float, settings: MotionSettings) -> motion.Motion:
    """Instead of the motion model: a person stays where they are."""
    del seconds, settings
    return state


def _replace(state: motion.Motion, boxes: Float64, reliability: Float64, settings: MotionSettings) -> motion.Motion:
    """Instead of the motion model: a detection replaces what was known."""
    del state
    return motion.start(boxes, reliability, settings)


def compare_with_package(clips: Sequence[Clip], trials: int) -> None:
    """The package's trackers: usual thresholds, the best setting for all clips, the best for each, annotated boxes."""
    from benchmarks.tracking.trackers_package import NAMES, run
    from benchmarks.tracking.trackers_package import trials as settings_of

    for name in NAMES:
        tried = list(settings_of(name, trials))
        hotas = np.array(
            [
                [TrackingScores.of(clip.compare(run(one, clip, with_frames=False))).hota.hota for clip in clips]
                for one in tried
            ]
        )
        show(f"{name}, thresholds 0.6", clips, [run(tried[0], clip) for clip in clips])
        best = tried[int(hotas.mean(axis=1).argmax())]
        show(f"{name}, best of {trials} for all", clips, [run(best, clip) for clip in clips])
        own = [tried[int(column.argmax())] for column in hotas.T]
        show(
            f"{name}, best of {trials} for the clip",
            clips,
            [run(one, clip) for one, clip in zip(own, clips, strict=True)],
        )
        show(f"annotated boxes: {name}", clips, [run(tried[0], clip, clip.true_people()) for clip in clips])


def try_settings(clips: Sequence[Clip], trials: int) -> None:
    """HOTA of random settings around the defaults: their influence."""
    rng = random.Random(0)
    default = TrackerSettings()
    found = []
    for _ in range(trials):
        changed = {
            name: getattr(default.motion, name) * rng.uniform(0.5, 2)
            for name in ("acceleration", "position_noise", "size_drift", "size_noise")
        }
        settings = TrackerSettings(
            motion=MotionSettings(**changed),
            oks_weight=rng.uniform(0, 0.6),
            min_similarity=default.min_similarity * rng.uniform(0.5, 2),
            confirmation=default.confirmation * rng.uniform(0.6, 2),
            min_reliability=default.min_reliability * rng.uniform(0.5, 1.5),
            memory=default.memory * rng.uniform(0.5, 2),
            camera_motion=False,
        )
        found.append([TrackingScores.of(clip.compare(online(clip, settings))).hota.hota for clip in clips])
        print(" ".join(f"{100 * hota:.1f}" for hota in found[-1]), flush=True)
    for clip, column in zip(clips, np.transpose(found), strict=True):
        quantiles = ", ".join(f"{100 * value:.1f}" for value in np.quantile(column, [0, 0.1, 0.5, 0.9, 1]))
        print(f"{clip.name}: lowest, 10 %, median, 90 %, highest HOTA {quantiles}")


def smooth(clips: Sequence[Clip], photo: Path | None, model: str) -> None:
    """Jitter on the clips, lag on a photo in motion."""
    from benchmarks.tracking.smoothness import measure_jitter, measure_lag

    for clip in clips:
        for name, value in measure_jitter(clip).items():
            print(f"{clip.name}, {name}: mean acceleration of standing people {value:.2f} sizes/s^2", flush=True)
    if photo is not None:
        for name, (seconds, error) in measure_lag(photo, model).items():
            print(
                f"{photo.name}, {name}: lag {1000 * seconds:.0f} ms, error {100 * error:.2f} % of the size", flush=True
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("detect", "compare", "settings", "smooth"))
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--clip", nargs=5, action="append", default=[], metavar=("NAME", "CLIP", "FPS", "GT", "FOUND"))
    parser.add_argument("--detector", type=Path)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--min-score", type=float, default=0.3, help="detect: lowest score of the people of --model")
    parser.add_argument("--output", "-o", type=Path, default=Path("found.npz"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--model", help="detect: instead of --detector and --poses; smooth: default boir-lite")
    parser.add_argument("--flagged-only", action="store_true", help="leave out annotations with flag 0, as MOT does")
    parser.add_argument("--step", type=int, default=1, help="take every N-th frame of the clips")
    parser.add_argument("--backwards", action="store_true", help="take the frames from the last to the first")
    given = parser.parse_args(arguments)
    clips = [
        Clip(name, Path(video), float(rate), Path(gt), Path(found), given.flagged_only, given.step, given.backwards)
        for name, video, rate, gt, found in given.clip
    ]
    if given.what == "detect":
        if given.video is None or (given.model is None and None in (given.detector, given.poses)):
            parser.error("detect needs CLIP, and --model or --detector and --poses")
        if given.model is not None:
            find_people_with(given.model, given.video, given.min_score, given.output)
        else:
            find_people(given.video, given.detector, given.poses, given.output)
    elif given.what == "compare":
        compare(clips, given.trials)
    elif given.what == "settings":
        try_settings(clips, given.trials)
    else:
        smooth(clips, given.photo, given.model or "boir-lite")


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.tracking"):
        main()
