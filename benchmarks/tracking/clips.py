"""Clips with their detections, kept on disk, so that every tracker gets the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from everypose.core.arrays import Float64, Image, Int64
from everypose.core.geometry import Size, box_iou
from everypose.core.progress import track
from everypose.errors import EveryposeError
from everypose.evaluation.tracking.mot import read_ground_truth
from everypose.evaluation.tracking.sequence import SequenceComparison
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import open_session
from everypose.methods.top_down.crops import crop_matrix, crop_regions, warp
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
CROP = Size(192, 256)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LOWEST_SCORE = 0.1
Item = TypeVar("Item")


@dataclass
class Clip:
    """A clip, its ground truth (MOT) and the people found in its frames.

    Attributes:
        name: of the sequence.
        video: the file.
        frame_rate: frames a second.
        ground_truth: MOT text.
        detections: what ``find_people`` wrote.
        flagged_only: leave out people whose flag in the ground truth is 0, as MOTChallenge does.
        step: take every step-th frame.
        backwards: take the frames from the last to the first.
    """

    name: str
    video: Path
    frame_rate: float
    ground_truth: Path
    detections: Path
    flagged_only: bool = False
    step: int = 1
    backwards: bool = False

    @property
    def rate(self) -> float:
        """Frames that are taken in a second."""
        return self.frame_rate / self.step

    def frames(self) -> Iterator[Image]:
        """(H, W, 3) uint8 RGB, in the order in which they are tracked."""
        pictures = read_frames(self.video)
        return iter(self._taken(list(pictures))) if self.backwards else islice(pictures, 0, None, self.step)

    def _taken(self, frames: Sequence[Item]) -> Sequence[Item]:
        """What belongs to the frames that are taken, in order."""
        taken = frames[:: self.step]
        return taken[::-1] if self.backwards else taken

    @cached_property
    def people(self) -> list[People]:
        """The found people of each frame."""
        try:
            with np.load(self.detections) as found:
                frame, boxes, scores, keypoints = (found[name] for name in ("frame", "box", "score", "kps"))
                frames = int(found["frames"])
        except (OSError, KeyError, ValueError) as error:
            raise EveryposeError(
                f"{self.detections} was not written by 'benchmarks.tracking detect': {error}"
            ) from error
        rows = [np.flatnonzero(frame == number) for number in self._taken(range(frames))]
        return [People(keypoints[row], scores[row], COCO, boxes=boxes[row]) for row in rows]

    @cached_property
    def truth(self) -> list[tuple[Int64, Float64]]:
        """Ids and boxes (x1 y1 x2 y2) of each frame's annotated people, whether MOT's flag counts them or not."""
        read = read_ground_truth(self.ground_truth)
        chosen = read.counted | (not self.flagged_only)
        with np.load(self.detections) as found:
            numbers = self._taken(range(int(found["frames"])))
        frames = [np.flatnonzero((read.frame == number + 1) & chosen) for number in numbers]
        return [(read.ids[rows], read.boxes[rows]) for rows in frames]

    def true_people(self) -> list[People]:
        """The annotated boxes as if a detector had found them, in another order in each frame; no poses."""
        rng = np.random.default_rng(0)
        skeleton = Skeleton("box", ("middle",), (), (), None)
        found = []
        for _, boxes in self.truth:
            mixed = boxes[rng.permutation(len(boxes))]
            middle = np.concatenate([(mixed[:, :2] + mixed[:, 2:]) / 2, np.ones((len(mixed), 1))], axis=1)
            found.append(People(middle[:, None], np.ones(len(mixed)), skeleton, boxes=mixed))
        return found

    def compare(self, tracked: list[People]) -> SequenceComparison:
        """Ids next to the ground truth's, by box IoU."""
        return SequenceComparison.create(
            [ids for ids, _ in self.truth],
            [people.ids for people in tracked if people.ids is not None],
            [box_iou(boxes, people.boxes) for (_, boxes), people in zip(self.truth, tracked, strict=True)],
        )


def read_frames(video: Path) -> Iterator[Image]:
    """(H, W, 3) uint8 RGB frames of a clip."""
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise EveryposeError(f"cannot read {video}")
    while True:
        there, image = capture.read()
        if not there:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def find_people(video: Path, detector_file: Path, pose_file: Path, output: Path) -> None:
    """Write boxes with a score above 0.1 and their poses.

    Args:
        video: the clip.
        detector_file: a detector that everypose reads.
        pose_file: ONNX; (1, 3, 256, 192) RGB crops normalized with ImageNet's mean and std to 17 heatmaps of 64 x 48.
        output: the ``.npz`` file.
    """
    detector = find_detector(str(detector_file), LOWEST_SCORE, threads=1)
    session = open_session(str(pose_file), 1, "cpu")
    names = [session.get_outputs()[0].name]
    frame, boxes, scores, keypoints = [], [], [], []
    number = -1
    for number, image in enumerate(track(read_frames(video), video.stem)):
        found = detector(Photo(image, video))
        for box, score in zip(found.boxes, found.scores, strict=True):
            center, size = (values[0] for values in crop_regions(box[None], CROP[0] / CROP[1]))
            matrix = crop_matrix(center, size, CROP, convention="udp")
            crop = ((warp(image, matrix, CROP) / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]
            heatmaps = session.run(names, {session.get_inputs()[0].name: crop})[0][0]
            points = np.array([_peak(heatmap) for heatmap in heatmaps])
            points[:, :2] = (points[:, :2] * 4 - matrix[:, 2]) / [matrix[0, 0], matrix[1, 1]]
            frame.append(number)
            boxes.append(box)
            scores.append(score)
            keypoints.append(points)
    np.savez(output, frame=frame, box=boxes, score=scores, kps=keypoints, frames=number + 1)


def find_people_with(model: str, video: Path, min_score: float, output: Path) -> None:
    """Write the people that a model finds, as ``everypose predict`` does.

    Args:
        model: a name of ``everypose models``.
        video: the clip.
        min_score: of a person.
        output: the ``.npz`` file.
    """
    estimator = load(model, min_score=min_score)
    people = [estimator(image) for image in track(read_frames(video), video.stem)]
    np.savez(
        output,
        frame=np.repeat(np.arange(len(people)), [len(one) for one in people]),
        box=np.concatenate([one.boxes for one in people]),
        score=np.concatenate([one.scores for one in people]),
        kps=np.concatenate([one.keypoints for one in people]),
        frames=len(people),
    )


def _peak(heatmap: Float64) -> tuple[float, float, float]:
    """x, y and value of a heatmap's maximum, refined by a Newton step on the logarithm of the smoothed map (DARK)."""
    height, width = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), width)
    value = float(heatmap[y, x])
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return float(x), float(y), value
    logs = np.log(np.maximum(cv2.GaussianBlur(heatmap, (3, 3), 0), 1e-10))
    gradient = np.array([logs[y, x + 1] - logs[y, x - 1], logs[y + 1, x] - logs[y - 1, x]]) / 2
    dxx = (logs[y, x + 2] - 2 * logs[y, x] + logs[y, x - 2]) / 4
    dyy = (logs[y + 2, x] - 2 * logs[y, x] + logs[y - 2, x]) / 4
    dxy = (logs[y + 1, x + 1] - logs[y - 1, x + 1] - logs[y + 1, x - 1] + logs[y - 1, x - 1]) / 4
    hessian = np.array([[dxx, dxy], [dxy, dyy]])
    if np.linalg.det(hessian) == 0:
        return float(x), float(y), value
    step = np.linalg.solve(hessian, gradient)
    if np.abs(step).max() >= 2:
        return float(x), float(y), value
    return float(x - step[0]), float(y - step[1]), value
