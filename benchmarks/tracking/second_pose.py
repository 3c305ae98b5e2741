"""What the second pose of a box does for people who are occluded: composed clips with known identities.

A person walks behind another one, who stands still, stops there and walks back. People are cut out of annotated photos;
the background is a gradient.

    python -m benchmarks.tracking.second_pose PHOTOS/dev.json PHOTOS/images [--clips 16] [--detector]

The boxes are the true ones; while the two boxes overlap by an IoU above 0.3, only that of the person in front, as
after NMS. With --detector, they are those of the model's detector. The same frames and boxes are tracked with all
poses and with the primary pose of each box alone.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64, Image, Mask
from everypose.core.geometry import box_iou, oks
from everypose.core.progress import track
from everypose.data.crowds.build_set import collect_cutouts
from everypose.data.crowds.cutouts import CutOut
from everypose.data.formats.coco import AREA_OF_BOX, read_coco
from everypose.errors import EveryposeError, exit_on_user_error
from everypose.evaluation.tracking.evaluate import TrackingScores
from everypose.evaluation.tracking.sequence import SequenceComparison
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.inference.top_down import TopDownEstimator
from everypose.people import People
from everypose.tracking.settings import TrackerSettings
from everypose.tracking.tracker import Tracker

RATE = 8.0
"""Frames a second."""
WALK, PAUSE = 1.5, 3.0
"""Seconds of each way, and of the stop behind the other person: longer than the tracker remembers."""
HEIGHT, WIDTH, PERSON = 288, 448, 220
"""Pixels of the frames, and of the people's boxes in height."""
OFFSET = 0.35
"""Where the person behind stops: this share of the front person's width to the left of their middle."""
OVERLAP = 0.3
"""Box IoU from which the person behind has no box of their own."""
BOX_SCORE = 0.9
LOWEST_SCORE = 0.05
SAME_POSE = 0.5
"""OKS of a track and a person from which the track counts as this person."""


@dataclass
class Composed:
    """A composed clip.

    Attributes:
        images: (H, W, 3) uint8 RGB frames.
        keypoints: (F, 2, K, 3) x, y, COCO visibility of the person in front and the one behind.
        boxes: (F, 2, 4) x1 y1 x2 y2 of both.
        areas: (2,) square pixels, by OKS's rule for boxes.
        hidden: (F,) whether the boxes overlap so far that a detector keeps one of them.
    """

    images: list[Image]
    keypoints: Float64
    boxes: Float64
    areas: Float64
    hidden: Mask


@dataclass
class Found:
    """The people of each frame, with all poses of the boxes and with the primary ones alone."""

    both: list[People]
    primary: list[People]


def compose_clip(front: CutOut, back: CutOut, seed: int) -> Composed:
    """Compose one clip of two people."""
    people = [cut.resized(PERSON / float(cut.box[3] - cut.box[1])) for cut in (front, back)]
    still_x = 0.6 * WIDTH
    stop_x = still_x - OFFSET * float(people[0].box[2] - people[0].box[0])
    times = np.arange(round((2 * WALK + PAUSE) * RATE)) / RATE
    places = np.interp(times, [0, WALK, WALK + PAUSE, 2 * WALK + PAUSE], [0.12 * WIDTH, stop_x, stop_x, 0.12 * WIDTH])
    colors = np.random.default_rng(seed).integers(90, 200, (2, 3))
    background = np.linspace(colors[0], colors[1], HEIGHT).astype(np.uint8)[:, None].repeat(WIDTH, axis=1)
    images, keypoints, boxes = [], [], []
    for place in places:
        image, poses, both = background.copy(), [], []
        for cut, x in ((people[1], place), (people[0], still_x)):
            left = round(x - float(cut.box[0] + cut.box[2]) / 2)
            top = HEIGHT - 10 - round(float(cut.box[3]))
            _paste(image, cut, left, top)
            poses.append(cut.keypoints + np.array([left, top, 0.0]))
            both.append(cut.box + np.array([left, top, left, top]))
        images.append(image)
        keypoints.append(poses[::-1])
        boxes.append(both[::-1])
    sizes = np.array([(cut.box[2] - cut.box[0]) * (cut.box[3] - cut.box[1]) for cut in people])
    hidden = np.array([box_iou(pair[:1], pair[1:])[0, 0] > OVERLAP for pair in np.array(boxes)])
    return Composed(images, np.array(keypoints), np.array(boxes), AREA_OF_BOX * sizes, hidden)


def _paste(image: Image, cut: CutOut, left: int, top: int) -> None:
    """Put a cut-out on an image, in place; parts outside are cut off."""
    height, width = cut.alpha.shape
    y1, x1, y2, x2 = max(0, top), max(0, left), min(HEIGHT, top + height), min(WIDTH, left + width)
    own = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
    alpha = cut.alpha[own][..., None]
    image[y1:y2, x1:x2] = (alpha * cut.pixels[own] + (1 - alpha) * image[y1:y2, x1:x2]).round().astype(np.uint8)


class TrueBoxes:
    """The true boxes of a frame, without that of a person who is occluded.

    Attributes:
        boxes: (N, 4) of the next image.
    """

    def __init__(self) -> None:
        self.boxes = np.zeros((0, 4))

    def __call__(self, photo: Photo) -> Boxes:
        """Return the given boxes for every image."""
        del photo
        return Boxes(self.boxes, np.full(len(self.boxes), BOX_SCORE))


def find(clip: Composed, estimator: TopDownEstimator) -> Found:
    """Run the model once on each frame."""
    found = Found([], [])
    for image, boxes, hidden in zip(clip.images, clip.boxes, clip.hidden, strict=True):
        if isinstance(estimator.detector, TrueBoxes):
            estimator.detector.boxes = boxes[:1] if hidden else boxes
        poses = estimator.poses([estimator.prepare(image)])[0]
        found.both.append(estimator.people(poses))
        found.primary.append(estimator.people(poses.instances(slice(0, 1))))
    return found


def follow(clip: Composed, people: Sequence[People], settings: TrackerSettings) -> SequenceComparison:
    """Track the people of a clip, next to the true identities by OKS."""
    tracker = Tracker(people[0].skeleton, settings)
    tracked = [
        tracker.update(one, number / RATE, image=image)
        for number, (one, image) in enumerate(zip(people, clip.images, strict=True))
    ]
    similar = [_similarity(truth, one, clip.areas) for truth, one in zip(clip.keypoints, tracked, strict=True)]
    ids = [np.array([], np.int64) if one.ids is None else one.ids for one in tracked]
    return SequenceComparison.create([[0, 1]] * len(tracked), ids, similar)


def _similarity(truth: Float64, tracked: People, areas: Float64) -> Float64:
    """(2, T) OKS of the true people's labeled keypoints and tracks."""
    rows = []
    sigmas = tracked.skeleton.require_sigmas()
    for pose, area in zip(truth, areas, strict=True):
        labeled = pose[:, 2] > 0
        found = tracked.keypoints[:, labeled].astype(np.float64)
        size = np.full((1, len(tracked)), area)
        rows.append(oks(pose[None, labeled], found, size, sigmas[labeled])[0])
    return np.array(rows).reshape(2, len(tracked))


def is_followed(comparison: SequenceComparison) -> bool:
    """Whether the person behind has one identity at the end and at the beginning: no new one, no other."""
    matched = [
        int(ids[row[1].argmax()]) if row.shape[1] and row[1].max() >= SAME_POSE else -1
        for ids, row in zip(comparison.track_ids, comparison.similarities, strict=True)
    ]
    before, after = (set(part) - {-1} for part in (matched[: round(WALK * RATE)], matched[-round(WALK * RATE / 2) :]))
    return len(before) == 1 and before == after


def hidden_share(clip: Composed, comparison: SequenceComparison) -> float:
    """Share of the frames without a box of the person behind in which a track has their pose."""
    frames = np.flatnonzero(clip.hidden)
    return float(np.mean([comparison.similarities[frame][1].max(initial=0) >= SAME_POSE for frame in frames]))


def clips_of(cutouts: Sequence[CutOut], count: int, seed: int = 0) -> Iterator[Composed]:
    """Pairs of different photos' people, drawn at random."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        while True:
            front, back = (cutouts[index] for index in rng.integers(0, len(cutouts), 2))
            if front.file_name != back.file_name:
                break
        yield compose_clip(front, back, number)


def usable(cut: CutOut) -> bool:
    """Whether a cut-out shows an upright person, large enough and down to the ground."""
    width, height = cut.box[2] - cut.box[0], cut.box[3] - cut.box[1]
    return bool(cut.reaches_ground and height >= 150 and 0.25 <= width / height <= 0.55)


def report(clips: Sequence[Composed], found: Sequence[Found]) -> None:
    """Print a row for each way of tracking."""
    print("| low score | poses | kept | pose found | IDF1 | switches | HOTA |\n|---|---|---|---|---|---|---|")
    for low in (None, 0.25, 0.15, 0.1):
        for name in ("primary", "both"):
            settings = TrackerSettings(low_score=low, camera_motion=False)
            compared = [follow(clip, getattr(one, name), settings) for clip, one in zip(clips, found, strict=True)]
            scores = TrackingScores.combine([TrackingScores.of(one) for one in compared])
            kept = sum(is_followed(one) for one in compared)
            share = np.mean([hidden_share(clip, one) for clip, one in zip(clips, compared, strict=True)])
            numbers = scores.numbers()
            print(
                f"| {low} | {name} | {kept} of {len(clips)} | {100 * share:.0f} % | {100 * numbers['IDF1']:.1f} | "
                f"{scores.counts()['switches']} | {100 * numbers['HOTA']:.1f} |",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compose, find, track and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--model", default="mipnet-lite")
    parser.add_argument("--detector", action="store_true", help="boxes by the model's detector")
    given = parser.parse_args(arguments)
    problems: list[str] = []
    cutouts = [cut for cut in collect_cutouts(read_coco(given.annotations, given.photos), problems) if usable(cut)]
    detector = None if given.detector else TrueBoxes()
    estimator = load(given.model, min_score=LOWEST_SCORE, threads=1, detector=detector)
    if not isinstance(estimator, TopDownEstimator):
        raise EveryposeError(f"{given.model} has no boxes: give a top-down model")
    clips = list(clips_of(cutouts, given.clips))
    report(clips, [find(clip, estimator) for clip in track(clips, "finding people")])


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.tracking.second_pose"):
        main()
