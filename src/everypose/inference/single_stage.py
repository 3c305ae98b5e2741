"""The estimator for single-stage models: one pass over the whole image."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everypose.core import geometry
from everypose.core.arrays import Float64, Image
from everypose.core.process_setup import available_threads
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator
from everypose.inference.image_like import ImageLike, image_pixels
from everypose.inference.resize import resize
from everypose.inference.runtimes.onnx import OPENVINO, OnnxModel
from everypose.inference.runtimes.protocols import RawPoses, Runtime
from everypose.models.config import ModelConfig
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

LARGEST_SIZE = 1280
"""The largest short side that may be asked for.

At 1280 a panorama four times as wide as high takes boir-lite 1.1 GB, and one of `LONGEST_RATIO` 1.9 GB; larger networks
take more. What is too much ends the process without a message.
"""
MOST_PEOPLE = 2000
"""The most people of an image; a model that gives more is damaged, and comparing them would take all memory."""
TOGETHER = 4
"""Batch size on devices where batching is faster."""
MOST_RUNS = 2
"""The most batches that go through a network at the same time."""


@dataclass(frozen=True)
class Resized:
    """An image and what a single-stage network sees of it.

    >>> image = np.zeros((48, 64, 3), np.uint8)
    >>> Resized(image, canvas=np.zeros((96, 128, 3), np.uint8), matrix=np.array([[2.0, 0, 0], [0, 2, 0]])).canvas.shape
    (96, 128, 3)
    """

    image: Image
    """(H, W, 3) uint8 RGB."""
    canvas: Image
    """(H', W', 3) uint8 RGB, sides multiples of the model's step: the network's input."""
    matrix: Float64
    """(2, 3), image pixels to canvas pixels."""


class SingleStageEstimator(Estimator[Resized]):
    """Finds the people in images by one pass over the whole image.

    >>> from everypose import load
    >>> pose = load("boir-lite", min_score=0.1)
    >>> len(pose(np.zeros((96, 128, 3), np.uint8)))
    0
    """

    def __init__(
        self,
        runtime: Runtime,
        config: ModelConfig,
        min_score: float | None = None,
        batch_size: int = 1,
        *,
        runs_at_once: int = 1,
    ) -> None:
        """Join a loaded model and its configuration.

        Args:
            runtime: the loaded model.
            config: its configuration: skeleton, input size, thresholds.
            min_score: lowest person score to report; the configuration's by default.
            batch_size: the most images that go through the network at once (`images_at_once`).
            runs_at_once: batches that go through the network at the same time, where many images are processed.

        Raises:
            EveryposeError: if the skeleton has no sigmas, which the suppression of duplicate detections needs.
        """
        super().__init__(config, min_score, batch_size, runs_at_once=runs_at_once)
        self._runtime = runtime
        self._sigmas = self.skeleton.require_sigmas()

    def prepare(self, image: ImageLike) -> Resized:
        """Read an image if it is a path, and resize it for the network."""
        pixels = image_pixels(image)
        canvas, matrix = resize(pixels, self.config.on_images.size, self.config.on_images.step)
        return Resized(pixels, canvas, matrix)

    def input_pixels(self, prepared: Resized) -> int:
        """Return the pixels of the canvas."""
        height, width, _ = prepared.canvas.shape
        return int(height * width)

    def predict(self, prepared: Sequence[Resized]) -> list[People]:
        """Find the people in prepared images; those with equal canvases go through the network together."""
        groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, one in enumerate(prepared):
            groups[one.canvas.shape].append(index)
        found: dict[int, People] = {}
        for shape, group in groups.items():
            together = self._how_many(shape)
            for start in range(0, len(group), together):
                members = group[start : start + together]
                raw = self._runtime.run(_batch([prepared[index].canvas for index in members]), self.min_score)
                check_poses(raw, self.skeleton, len(members))
                for position, index in enumerate(members):
                    found[index] = self._people(raw, position, prepared[index])
        return [found[index] for index in range(len(prepared))]

    def _how_many(self, shape: tuple[int, ...]) -> int:
        """Images of one shape for one run: fewer of those over twice as long as wide, so that memory stays bounded."""
        pixels = self.batch_size * 2 * self.config.on_images.size**2
        return max(1, min(self.batch_size, pixels // (shape[0] * shape[1])))

    def _people(self, raw: RawPoses, position: int, prepared: Resized) -> People:
        """People of one image of a batch: in image pixels, after NMS and the score threshold."""
        mine = raw[2] == position
        keypoints = raw[0][mine].astype(np.float64)
        scores = raw[1][mine].astype(np.float64)
        keypoints[..., :2] = geometry.transform(keypoints[..., :2], geometry.inverse(prepared.matrix))
        kept = geometry.oks_nms(keypoints, scores, self._sigmas, self.config.on_images.nms)
        kept = kept[scores[kept] >= self.min_score]
        return People(
            keypoints[kept].astype(np.float32), scores[kept].astype(np.float32), self.skeleton, image=prepared.image
        )


def _batch(canvases: Sequence[Image]) -> npt.NDArray[np.uint8]:
    """Canvases of one shape as (B, H, W, 3); a single one is not copied."""
    return canvases[0][None] if len(canvases) == 1 else np.stack(canvases)


def check_poses(raw: RawPoses, skeleton: Skeleton, images: int) -> None:
    """Refuse output that cannot be the people of a batch.

    Args:
        raw: what a runtime gave.
        skeleton: of the model.
        images: number of images of the batch.

    Raises:
        EveryposeError: if shapes do not match, there are too many people or such of other images, or a number is not
            finite.

    >>> raw = np.full((1, 17, 3), np.nan, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    >>> check_poses(raw, Skeleton.named("coco"), images=1)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: the model gives numbers that are not finite: its weights are damaged
    """
    keypoints, scores, image_index = raw
    if keypoints.shape[1:] != (len(skeleton), 3):
        raise EveryposeError(
            f"the model gives keypoints of shape {keypoints.shape}, but its skeleton {skeleton.name} "
            f"has {len(skeleton)} keypoints: its configuration belongs to another model"
        )
    count = len(keypoints)
    if scores.shape != (count,) or image_index.shape != (count,) or image_index.dtype.kind not in "iu":
        raise EveryposeError(
            f"the model gives {count} people, scores of shape {scores.shape} and image numbers of shape "
            f"{image_index.shape}: it is damaged, or no model of everypose"
        )
    if count and not 0 <= image_index.min() <= image_index.max() < images:
        raise EveryposeError("the model gives people of images that it did not get: it is damaged")
    if count > MOST_PEOPLE * images:
        raise EveryposeError(f"the model gives {count:,} people in {images} images: it is damaged")
    if not (np.isfinite(keypoints).all() and np.isfinite(scores).all()):
        raise EveryposeError("the model gives numbers that are not finite: its weights are damaged")


def images_at_once(device: str) -> int:
    """How many images best go through a single-stage network together: on a CPU, several take no less time each.

    >>> images_at_once("cpu"), images_at_once("cuda")
    (1, 4)
    """
    return 1 if device == "cpu" or device in OPENVINO else TOGETHER


def runs_at_once(runtime: object, device: str, threads: int | None) -> int:
    """Return how many batches of many images best go through a model at the same time.

    Two runs of ONNX Runtime share its threads, and each uses those that the other leaves idle between operators; of
    small models on two CPUs they have a thread each
    (:class:`everypose.inference.runtimes.parallel_images.ParallelImageRuntime`). A number of threads that the user gave
    is kept, with one run.

    >>> runs_at_once(object(), "cpu", threads=2)  # the number of threads was given
    1
    """
    shared = device == "cpu" and threads is None and isinstance(runtime, OnnxModel)
    return min(MOST_RUNS, available_threads()) if shared else 1
