"""The estimator of top-down models: boxes, a crop for each, the poses in each crop, NMS of duplicates."""

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from everypose.core import geometry
from everypose.core.arrays import Float32, Float64, Image, Mask
from everypose.core.geometry import Size
from everypose.errors import EveryposeError
from everypose.inference.box_sources import AnnotatedBoxes
from everypose.inference.boxes import Boxes, Detector, Photo, detect_all
from everypose.inference.estimator import Estimator
from everypose.inference.image_like import ImageLike, image_file, image_pixels
from everypose.inference.runtimes.protocols import CropRuntime
from everypose.inference.single_stage import TOGETHER
from everypose.methods.top_down.crops import CropGeometry, warp
from everypose.methods.top_down.scoring import (
    ScoringSettings,
    box_threshold_of_others,
    keypoint_probabilities,
    merge,
)
from everypose.models.config import ModelConfig
from everypose.people import People

LARGEST_SIDE = 32_766
"""OpenCV 4 warps images whose sides are below 32,767."""
MOST_PEOPLE_OF_A_CROP = 32
"""MIPNet finds two; more than this are those of a damaged file."""


@dataclass(frozen=True)
class BoxPoses:
    """Poses in the boxes of one image, before person scoring and NMS.

    Attributes:
        boxes: the R boxes that were cropped.
        sizes: (R, 2) width, height of their regions, in image pixels.
        keypoints: (R, N, K, 3) of N instances, the primary first: x, y in image pixels, confidence.

    >>> boxes = Boxes(np.array([[0.0, 0, 10, 20], [30, 0, 40, 20]]), np.array([0.9, 0.2]))
    >>> poses = BoxPoses(boxes, sizes=np.full((2, 2), 25.0), keypoints=np.zeros((2, 1, 17, 3)))
    >>> poses.at_least(0.5).boxes.scores.tolist()
    [0.9]
    """

    boxes: Boxes
    sizes: Float64
    keypoints: Float64

    def at_least(self, threshold: float) -> "BoxPoses":
        """Return the poses of boxes that score ``threshold`` or more."""
        kept: Mask = self.boxes.scores >= threshold
        return BoxPoses(self.boxes[kept], self.sizes[kept], self.keypoints[kept])

    def instances(self, which: slice) -> "BoxPoses":
        """Some of the instances of every box."""
        return BoxPoses(self.boxes, self.sizes, self.keypoints[:, which])


class TopDownEstimator(Estimator[Photo]):
    """Finds the people in images by the boxes that a detector gives.

    Attributes:
        skeleton: the keypoints that it finds.
        config: the model's configuration.
        detector: finds the boxes in an image.
        min_score: people with lower scores are left out.
        batch_size: the most images whose crops go through the network together.
        crops_at_once: the most crops that go through the network at once.
        dropped: how many boxes were left out so far, because they have no area, lie outside their image or would give
            a crop of less than a pixel.

    >>> from types import SimpleNamespace
    >>> from everypose.inference.box_sources import WholeImage
    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference, point = TopDownInference(crop_size=(48, 64)), Skeleton("point", ("tip",), (), (), (0.1,))
    >>> config = ModelConfig(name="middle", network=HRNetPoseSettings(), skeleton=point, inference=inference)
    >>> middle = SimpleNamespace(run=lambda crops, _: np.full((len(crops), 1, 1, 3), (23.5, 31.5, 0.9), np.float32))
    >>> pose = TopDownEstimator(middle, config, WholeImage())
    >>> pose(np.zeros((80, 60, 3), np.uint8)).keypoints[0, 0, :2].round().tolist()
    [29.0, 39.0]
    """

    def __init__(
        self, runtime: CropRuntime, config: ModelConfig, detector: Detector, min_score: float | None = None,
        batch_size: int = TOGETHER, crops_at_once: int = 16, *, runs_at_once: int = 1,
    ) -> None:  # fmt: skip
        """Join a loaded model, its configuration and a source of boxes.

        Args:
            runtime: the loaded model.
            config: its configuration: skeleton, crop size, thresholds.
            detector: gives the boxes of an image's people.
            min_score: lowest person score to report; the configuration's by default.
            batch_size: the most images whose crops go through the network together.
            crops_at_once: the most crops that go through the network at once.
            runs_at_once: batches of images that go through detector and network at the same time, where many are
                processed.

        Raises:
            EveryposeError: if the skeleton has no sigmas, which OKS-NMS needs.
        """
        super().__init__(config, min_score, batch_size, runs_at_once=runs_at_once)
        settings = config.on_crops
        self._crop_runtime = runtime
        self.detector = detector
        self.crops_at_once = crops_at_once
        self.dropped = 0
        self._counting = threading.Lock()
        self._geometry = CropGeometry(settings.crop_size, settings.convention, settings.padding, settings.crop)
        self._scoring = ScoringSettings(
            confident=settings.confident,
            decay=settings.decay,
            oks_threshold=settings.nms,
            soft=settings.soft_nms,
            calibration=settings.calibration,
        )
        self._sigmas = np.ones(len(self.skeleton)) if settings.nms is None else self.skeleton.require_sigmas()

    def prepare(self, image: ImageLike) -> Photo:
        """Read an image if it is a path."""
        return Photo(image_pixels(image), image_file(image))

    def predict(self, prepared: Sequence[Photo]) -> list[People]:
        """Find the people in prepared images; crops of several images go through the network together."""
        found = self._find(prepared, box_threshold_of_others(self.config.on_crops, self.min_score))
        return [self.people(poses, photo.image) for poses, photo in zip(found, prepared, strict=True)]

    def poses(self, prepared: Sequence[Photo]) -> list[BoxPoses]:
        """Estimate the poses in the boxes of prepared images, before person scoring and NMS."""
        return self._find(prepared)

    def _find(self, prepared: Sequence[Photo], others_from: float = 0.0) -> list[BoxPoses]:
        """The poses of prepared images; only the primary one of boxes that score below ``others_from``."""
        boxes = detect_all(self.detector, prepared)
        cuts = [self._cut(photo, found) for photo, found in zip(prepared, boxes, strict=True)]
        pairs = zip(prepared, cuts, strict=True)
        poses = self._poses(
            _Crop(photo.image, matrix, with_others=score >= others_from)
            for photo, cut in pairs
            for matrix, score in zip(cut.matrices, cut.boxes.scores, strict=True)
        )
        no_poses = np.zeros((0, 1, len(self.skeleton), 3))
        found = [list(islice(poses, len(cut.boxes))) for cut in cuts]
        return [
            BoxPoses(cut.boxes, cut.sizes, np.stack(each) if each else no_poses)
            for cut, each in zip(cuts, found, strict=True)
        ]

    def crops(self, photo: Photo) -> list[Image]:
        """Cut the crops of one image's boxes, (h, w, 3) uint8 RGB, as the network takes them."""
        (boxes,) = detect_all(self.detector, [photo])
        return [cut_crop(photo.image, matrix, self._geometry.size) for matrix in self._cut(photo, boxes).matrices]

    def people(self, found: BoxPoses, image: Image | None = None) -> People:
        """Convert poses to the people of one image: after NMS and the score threshold, best first.

        A person has the box of their crop, or, as a second one in it, the box around their keypoints.
        """
        if not len(found.boxes):
            return People.empty(self.skeleton, image)
        merged = merge(found.keypoints, found.boxes.scores, found.sizes, self._sigmas, self._scoring)
        is_primary = (merged.instance == 0)[:, None]
        boxes = np.where(is_primary, found.boxes.boxes[merged.box], geometry.keypoint_boxes(merged.keypoints))
        order = np.argsort(-merged.scores, kind="stable")
        order = order[merged.scores[order] >= self.min_score]
        keypoints = merged.keypoints[order]
        if (calibration := self.config.on_crops.keypoint_calibration) is not None:
            keypoints[..., 2] = keypoint_probabilities(keypoints[..., 2], calibration)
        return People(keypoints, merged.scores[order], self.skeleton, boxes=boxes[order], image=image)

    def _cut(self, photo: Photo, found: Boxes) -> "_Cuts":
        """The crops of one image's boxes, without boxes that cannot be cropped."""
        height, width = photo.image.shape[:2]
        if isinstance(self.detector, AnnotatedBoxes):
            found = Boxes(self._geometry.cleaned(found.boxes, Size(width, height)), found.scores)
        boxes = found[self._usable(found.boxes, (width, height))]
        with self._counting:  # batches may run at the same time
            self.dropped += len(found) - len(boxes)
        centers, sizes = self._geometry.regions(boxes.boxes)
        matrices = [self._geometry.matrix(center, size) for center, size in zip(centers, sizes, strict=True)]
        return _Cuts(boxes, sizes, matrices)

    def _usable(self, boxes: Float64, image_size: tuple[int, ...]) -> Mask:
        """Which boxes (N, 4) have an area, show some of the image and fill a pixel of it with their crop."""
        low, high = boxes[:, :2], boxes[:, 2:]
        _, sizes = self._geometry.regions(boxes)
        usable: Mask = np.all((high > low) & (high > 0) & (low < np.array(image_size)) & (sizes >= 1), axis=1)
        return usable

    def _poses(self, crops: Iterable["_Crop"]) -> Iterator[Float64]:
        """Keypoints (N, K, 3), in image pixels, of each crop."""
        remaining = iter(crops)
        while batch := list(islice(remaining, self.crops_at_once)):
            pixels = np.stack([cut_crop(crop.image, crop.matrix, self._geometry.size) for crop in batch])
            with_others = np.array([crop.with_others for crop in batch])
            raw = self._crop_runtime.run(pixels, None if with_others.all() else with_others)
            self._check_keypoints(raw, len(batch))
            for crop, keypoints in zip(batch, raw.astype(np.float64), strict=True):
                keypoints[..., :2] = geometry.transform(keypoints[..., :2], geometry.inverse(crop.matrix))
                yield keypoints

    def _check_keypoints(self, raw: Float32, crops: int) -> None:
        """Refuse output that cannot be this skeleton's people."""
        if raw.ndim != 4 or raw.shape[0] != crops or raw.shape[2:] != (len(self.skeleton), 3):
            raise EveryposeError(
                f"the model gives keypoints of shape {raw.shape} for {crops} crops, but its skeleton "
                f"{self.skeleton.name} has {len(self.skeleton)} keypoints: its configuration belongs to another model"
            )
        if raw.shape[1] > MOST_PEOPLE_OF_A_CROP:
            raise EveryposeError(f"the model gives {raw.shape[1]:,} people in each crop: it is damaged")
        if not np.isfinite(raw).all():
            raise EveryposeError("the model gives numbers that are not finite: its weights are damaged")


def as_top_down(estimator: Estimator[Any]) -> TopDownEstimator | None:
    """Return the estimator as one that takes boxes; None for one that finds people by itself or refines poses.

    >>> from everypose import load
    >>> as_top_down(load("boir-lite")) is None
    True
    """
    return estimator if isinstance(estimator, TopDownEstimator) else None


@dataclass(frozen=True)
class _Cuts:
    """How one image is cut into crops."""

    boxes: Boxes
    sizes: Float64
    """(R, 2) width, height of the regions, in image pixels."""
    matrices: list[Float64]
    """R times (2, 3), image pixels to crop pixels."""


@dataclass(frozen=True)
class _Crop:
    """A crop of an image that is not cut yet.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        matrix: (2, 3), image pixels to crop pixels.
        with_others: whether the other people in it than the primary one are needed.
    """

    image: Image
    matrix: Float64
    with_others: bool


def cut_crop(image: Image, matrix: Float64, size: Size) -> Image:
    """A crop (h, w, 3) of (width, height) pixels; of an image too large for OpenCV, by way of the part that is seen.

    >>> cut_crop(np.zeros((48, 64, 3), np.uint8), np.eye(2, 3), Size(12, 16)).shape
    (16, 12, 3)
    """
    if max(image.shape) <= LARGEST_SIDE:
        return warp(image, matrix, size)
    seen = geometry.transform([(0, 0), (size[0], 0), (0, size[1]), size], geometry.inverse(matrix))
    image_size = image.shape[1::-1]
    left, top = np.floor(seen.min(axis=0)).clip(0, image_size).astype(int)
    right, bottom = (np.ceil(seen.max(axis=0)) + 2).clip(0, image_size).astype(int)
    step = math.ceil(max(right - left, bottom - top, 1) / LARGEST_SIDE)
    part = np.ascontiguousarray(image[top:bottom:step, left:right:step])
    return warp(part, np.column_stack([step * matrix[:, :2], geometry.transform((left, top), matrix)]), size)
