"""Training crops around detector boxes: the primary person, the second one by the paper's rule, and their heatmaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.geometry import box_iou
from everypose.data.images import read_image
from everypose.data.scenes import Scene

Floats = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

FLIP = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
WIDTH, HEIGHT, STRIDE, SIGMA = 192, 256, 4, 2.0
LEAST_KEYPOINTS = 4
"""Of a second person, labeled in the detector's box and left in the crop; of a primary, labeled."""
BOX_SCORE, BOX_IOU = 0.12, 0.45
"""Least score of a detector's box, and least IoU with a person's."""
# Shares of the samples: real photos without and with a second person, composed crowds with and without.
SHARES = (0.27, 0.28, 0.38, 0.07)


@dataclass(frozen=True)
class Person:
    """One box of a photo and the keypoints (17, 3) of its primary and second person."""

    path: Path
    box: Floats
    primary: Floats
    second: Floats | None
    composed: bool


@dataclass(frozen=True)
class Sample:
    """A crop (256, 192, 3) and its people in crop pixels; ``area`` of its region in square image pixels."""

    crop: npt.NDArray[np.uint8]
    primary: Floats
    second: Floats | None
    composed: bool
    area: float


def people_of(scene: Scene, detections: Floats, composed: bool) -> list[Person]:
    """Boxes (N, 5) of a photo's people, x1 y1 x2 y2 score: detected, or annotated where no detection matches."""
    usable = ~scene.is_crowd & (scene.keypoints[..., 2] > 0).any(axis=1)
    keypoints, boxes = scene.keypoints[usable], scene.boxes[usable]
    if not len(keypoints):
        return []
    labeled = (keypoints[..., 2] > 0).sum(axis=1)
    found = detections[detections[:, 4] > BOX_SCORE, :4]
    overlaps = box_iou(found, boxes)
    pairs = [
        (box, int(row.argmax()))
        for box, row in zip(found, overlaps, strict=True)
        if row.max() > BOX_IOU and labeled[row.argmax()] >= LEAST_KEYPOINTS
    ]
    missed = set(range(len(boxes))) - {person for _, person in pairs}
    pairs += [(boxes[i], i) for i in missed if labeled[i] >= 5 and boxes[i, 3] - boxes[i, 1] > 40]
    return [
        Person(scene.path, box, keypoints[person], _second(box, person, keypoints, boxes), composed)
        for box, person in pairs
        if box[3] - box[1] >= 24
    ]


def _second(box: Floats, primary: int, keypoints: Floats, boxes: Floats) -> Floats | None:
    """The keypoints of the nearest other person, by box centers, of whom enough is in the box."""
    inside = (keypoints[..., :2] >= box[:2]) & (keypoints[..., :2] <= box[2:])
    count = (inside.all(axis=-1) & (keypoints[..., 2] > 0)).sum(axis=1)
    count[primary] = 0
    candidates = np.flatnonzero(count >= LEAST_KEYPOINTS)
    if not len(candidates):
        return None
    centers = (boxes[candidates, :2] + boxes[candidates, 2:]) / 2
    distances = ((centers - (box[:2] + box[2:]) / 2) ** 2).sum(axis=1)
    return np.asarray(keypoints[candidates[distances.argmin()]], np.float64)


class Sampler:
    """Draws augmented samples from four groups: real or composed, with or without a second person."""

    def __init__(self, people: Sequence[Person], seed: Sequence[int]) -> None:
        self._rng = np.random.default_rng(seed)
        self._images: dict[Path, npt.NDArray[np.uint8]] = {}
        self._groups = [
            [one for one in people if one.composed == composed and (one.second is not None) == shared]
            for composed, shared in ((False, False), (False, True), (True, True), (True, False))
        ]

    def draw(self) -> Sample:
        """One sample, with its box moved, scaled, turned, mirrored and its brightness changed at random."""
        rng = self._rng
        group = self._groups[rng.choice(4, p=SHARES)]
        person = group[rng.integers(len(group))]
        matrix, area, mirrored = self._matrix(person.box)
        crop = cv2.warpAffine(self._read(person.path), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        if rng.random() < 0.3:
            crop = np.clip(crop * rng.uniform(0.7, 1.3) + rng.uniform(-20, 20), 0, 255).astype(np.uint8)
        second = None if person.second is None else moved(person.second, matrix, mirrored)
        if second is not None and target_maps(second)[1].sum() < LEAST_KEYPOINTS:
            second = None
        return Sample(
            np.asarray(crop, np.uint8), moved(person.primary, matrix, mirrored), second, person.composed, area
        )

    def photo(self, group: int) -> tuple[npt.NDArray[np.uint8], Floats]:
        """The photo (H, W, 3) of a sample of one group, and the matrix (2, 3) of its augmented crop."""
        person = self._groups[group][self._rng.integers(len(self._groups[group]))]
        return self._read(person.path), self._matrix(person.box)[0]

    def _matrix(self, box: Floats) -> tuple[Floats, float, bool]:
        rng = self._rng
        extent = box[2:] - box[:2]
        center = (box[:2] + box[2:]) / 2 + rng.normal(0, 0.03, 2).clip(-0.08, 0.08) * extent
        height = max(extent[1], extent[0] * 4 / 3) * 1.25 * np.exp(np.clip(rng.normal(0, 0.12), -0.3, 0.3))
        angle = 0.0 if rng.random() < 0.6 else np.deg2rad(np.clip(rng.normal(0, 20), -45, 45))
        mirrored = bool(rng.random() < 0.5)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        if mirrored:
            turn = np.diag([-1.0, 1.0]) @ turn
        linear = np.diag([(WIDTH - 1) / (0.75 * height), (HEIGHT - 1) / height]) @ turn
        offset = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]) - linear @ center
        return np.column_stack([linear, offset]), 0.75 * height**2, mirrored

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        if path not in self._images:
            self._images[path] = read_image(path)
        return self._images[path]


def moved(keypoints: Floats, matrix: Floats, mirrored: bool) -> Floats:
    """Keypoints (17, 3) in crop pixels, left and right exchanged in a mirrored crop."""
    xy = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    result = np.column_stack([xy, keypoints[:, 2]])
    return result[FLIP] if mirrored else result


def target_maps(keypoints: Floats) -> tuple[Maps, Maps]:
    """Gaussians (17, 64, 48) around keypoints in crop pixels, and which of them lie in the crop, (17,)."""
    rows, columns = np.mgrid[: HEIGHT // STRIDE, : WIDTH // STRIDE].astype(np.float32)
    x, y = keypoints[:, 0] / STRIDE, keypoints[:, 1] / STRIDE
    inside = (keypoints[:, 2] > 0) & (x > -0.5) & (x < columns.max() + 0.5) & (y > -0.5) & (y < rows.max() + 0.5)
    squares = (columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2
    maps = np.exp(-squares / (2 * SIGMA**2)).astype(np.float32)
    return maps * inside[:, None, None], inside.astype(np.float32)


def primary_targets(sample: Sample, published: Maps) -> tuple[Maps, Maps]:
    """The primary's maps, distilled: where the published network agrees with the label they are blended with its own.

    Args:
        sample: the crop and its people.
        published: (17, 64, 48) of the unmodified network on the crop.

    Returns:
        Targets (17, 64, 48) and weights (17,): unlabeled keypoints of real photos follow the published network.
    """
    maps, weights = target_maps(sample.primary)
    rows, columns = np.divmod(published.reshape(len(published), -1).argmax(axis=1), WIDTH // STRIDE)
    peaks = np.stack([columns, rows], axis=1) * STRIDE
    squares = ((peaks - sample.primary[:, :2]) ** 2).sum(axis=1) * sample.area / (WIDTH * HEIGHT)
    likeness = np.exp(-squares / (2 * (2 * SIGMAS) ** 2 * max(sample.area * 0.53 / 1.25**2, 1)))
    share = (0.25 if sample.composed else 0.5) * ((likeness > 0.6) & (weights > 0))
    blended = share[:, None, None] * published + (1 - share)[:, None, None] * maps
    unlabeled = (sample.primary[:, 2] == 0) & (not sample.composed)
    targets = np.where(unlabeled[:, None, None], published, blended).astype(np.float32)
    return targets, np.where(unlabeled, 0.5, weights).astype(np.float32)


def second_targets(sample: Sample, primary: tuple[Maps, Maps]) -> tuple[Maps, Maps]:
    """The second person's maps and weights; the primary's at half weight where there is none (the paper's rule)."""
    return (primary[0], 0.5 * primary[1]) if sample.second is None else target_maps(sample.second)


def detections_of(path: Path) -> Mapping[str, Floats]:
    """Read a file of ``research.mipnet_lite.detect``: by image id, boxes (N, 5) x1 y1 x2 y2 score."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
