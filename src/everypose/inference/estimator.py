"""The estimator: an image in, its people out."""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias, overload

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core import geometry
from everypose.data.images import read_image
from everypose.errors import EveryposeError
from everypose.inference.runtimes.onnx import OPENVINO, RawPoses, Runtime
from everypose.models.config import ModelConfig
from everypose.models.settings import SMALLEST_SIDE
from everypose.people import People

Image: TypeAlias = npt.NDArray[np.uint8]
ImageLike: TypeAlias = str | PathLike[str] | Image

LONGEST_RATIO = 8
"""Images up to this many times as long as wide get the model's full size; longer ones are shrunk (`fit`)."""
LARGEST_SIDE = 32_704
"""OpenCV warps images whose sides are below 32,767; this is the last multiple of 64 there."""
LARGEST_SIZE = 1280
"""The largest short side that may be asked for.

At 1280 a photo of a crowd, 16:9, takes boir-lite 1.7 GB, and one of `LONGEST_RATIO` 7.5 GB; larger networks take more.
What is too much ends the process without a word.
"""
TOGETHER = 4
"""Images that are looked at together where that is faster."""


class Prepared(Protocol):
    """An image as an estimator wants it; what more there is to it differs."""

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        ...


class Estimator(ABC):
    """Finds the people in images; what there is for single-stage and for top-down models.

    Attributes:
        skeleton: the keypoints that it finds.
        config: the model's configuration.
        min_score: people with lower scores are left out.
        batch_size: the most images that are looked at together.
    """

    def __init__(self, config: ModelConfig, min_score: float | None, batch_size: int) -> None:
        """Take the configuration, whose lowest person score counts where none is given."""
        self.config = config
        self.skeleton = config.read_skeleton()
        self.min_score = config.inference.min_score if min_score is None else min_score
        self.batch_size = batch_size

    @overload
    def __call__(self, images: ImageLike) -> People: ...  # type: ignore[overload-overlap]  # a str is a Sequence of str
    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[People]: ...
    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> People | list[People]:
        """Find the people in one image or in several.

        Args:
            images: a path, a (H, W, 3) uint8 RGB array, or a list of these.

        Returns:
            People in image pixels, by falling score, with the image attached; a list of them for a sequence.

        Raises:
            EveryposeError: when an image cannot be read or is no image.
        """
        if isinstance(images, str | PathLike | np.ndarray):
            return self.predict([self.prepare(images)])[0]
        return self.predict([self.prepare(image) for image in images])

    @abstractmethod
    def prepare(self, image: ImageLike) -> Prepared:
        """Read an image if it is a path, and do what else needs no network: the part that threads can do ahead."""

    @abstractmethod
    def predict(self, prepared: Sequence[Any]) -> list[People]:
        """Find the people in images that this estimator has prepared."""


@dataclass(frozen=True)
class Resized:
    """An image and what a single-stage network sees of it."""

    image: Image
    """(H, W, 3) uint8 RGB."""
    canvas: Image
    """(H', W', 3) uint8 RGB, sides multiples of the model's step: the network's input."""
    matrix: npt.NDArray[np.float64]
    """(2, 3), image pixels to canvas pixels."""


class SingleStageEstimator(Estimator):
    """Finds the people in images by one pass over the whole image."""

    def __init__(
        self, runtime: Runtime, config: ModelConfig, min_score: float | None = None, batch_size: int = 1
    ) -> None:
        """Join a loaded model and its configuration.

        Args:
            runtime: the loaded model.
            config: its configuration: skeleton, input size, thresholds.
            min_score: lowest person score to report; the configuration's by default.
            batch_size: the most images that go through the network at once (`images_at_once`).

        Raises:
            EveryposeError: when the skeleton has no sigmas, which the suppression of double finds needs.
        """
        super().__init__(config, min_score, batch_size)
        self._runtime = runtime
        self._sigmas = self.skeleton.require_sigmas()

    def prepare(self, image: ImageLike) -> Resized:
        """Read an image if it is a path, and resize it for the network."""
        pixels = pixels_of(image)
        canvas, matrix = resize(pixels, self.config.on_images.size, self.config.on_images.step)
        return Resized(pixels, canvas, matrix)

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
                raw = self._runtime.run(np.stack([prepared[index].canvas for index in members]), self.min_score)
                self._check(raw)
                for position, index in enumerate(members):
                    found[index] = self._people(raw, position, prepared[index])
        return [found[index] for index in range(len(prepared))]

    def _how_many(self, shape: tuple[int, ...]) -> int:
        """Images of one shape for one run: fewer of those over twice as long as wide, so that memory stays bounded."""
        pixels = self.batch_size * 2 * self.config.on_images.size**2
        return max(1, min(self.batch_size, pixels // (shape[0] * shape[1])))

    def _check(self, raw: RawPoses) -> None:
        """Refuse output that cannot be this skeleton's people."""
        keypoints, scores, _ = raw
        if keypoints.shape[1:] != (len(self.skeleton), 3):
            raise EveryposeError(
                f"the model gives keypoints of shape {keypoints.shape}, but its skeleton {self.skeleton.name} "
                f"has {len(self.skeleton)} keypoints: its configuration belongs to another model"
            )
        if not (np.isfinite(keypoints).all() and np.isfinite(scores).all()):
            raise EveryposeError("the model gives numbers that are not finite: its weights are damaged")

    def _people(self, raw: RawPoses, position: int, prepared: Resized) -> People:
        """The people of one image of a batch: back in image pixels, each once, those that score enough."""
        mine = raw[2] == position
        keypoints = raw[0][mine].astype(np.float64)
        scores = raw[1][mine].astype(np.float64)
        keypoints[..., :2] = geometry.transform(keypoints[..., :2], geometry.inverse(prepared.matrix))
        kept = geometry.oks_nms(keypoints, scores, self._sigmas, self.config.on_images.nms)
        kept = kept[scores[kept] >= self.min_score]
        return People(
            keypoints[kept].astype(np.float32), scores[kept].astype(np.float32), self.skeleton, image=prepared.image
        )


def images_at_once(device: str) -> int:
    """How many images best go through a single-stage network together: on a CPU, several take no less time each."""
    return 1 if device == "cpu" or device in OPENVINO else TOGETHER


def resize(image: Image, size: int, step: int) -> tuple[Image, npt.NDArray[np.float64]]:
    """Resize an image for the network: bilinear, black outside.

    Returns:
        The canvas (H', W', 3) uint8 and the (2, 3) matrix from image pixels to canvas pixels.
    """
    image, shrink = _within_opencv(image)
    (width, height), matrix = fit(image.shape[0], image.shape[1], size, step)
    canvas = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    return np.asarray(canvas, np.uint8), _compose(matrix, shrink)


def fit(height: int, width: int, size: int, step: int) -> tuple[tuple[int, int], npt.NDArray[np.float64]]:
    """Size (W', H') of the canvas for an image and the (2, 3) matrix from image pixels to canvas pixels.

    The short side gets ``size`` pixels (`geometry.fit_short_side`), unless the image is more than eight times as long
    as wide: then it is scaled and padded with black to hold ``8 size^2`` pixels at most, so that neither a panorama
    nor a strip one pixel high can take all memory.
    """
    canvas, matrix = geometry.fit_short_side(height, width, size, step)
    pixels = LONGEST_RATIO * min(canvas) ** 2
    if max(canvas) * min(canvas) <= pixels:
        return canvas, matrix
    short, long = sorted((height, width))
    short_side = max(SMALLEST_SIDE, int(math.sqrt(pixels * short / long)) // step * step)
    longest = min(pixels // short_side // step * step, LARGEST_SIDE)
    scale = min(short_side / short, longest / long)
    wide, high = (max(SMALLEST_SIDE, math.ceil(round(scale * side, 6) / step) * step) for side in (width, height))
    center = (int(width / 2 + 0.5), int(height / 2 + 0.5))
    return (wide, high), geometry.similarity(center, scale, 0.0, (wide / 2, high / 2))


def _within_opencv(image: Image) -> tuple[Image, npt.NDArray[np.float64]]:
    """Shrink an image whose sides OpenCV cannot warp; also the (2, 3) matrix that did it."""
    height, width = image.shape[:2]
    factor = math.ceil(max(height, width) / LARGEST_SIDE)
    if factor == 1:
        return image, np.eye(2, 3)
    new_width, new_height = math.ceil(width / factor), math.ceil(height / factor)
    small = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    scale = np.array([new_width / width, new_height / height])
    # Pixel centres are integers: the image's corner (-0.5, -0.5) stays where it is.
    return np.asarray(small, np.uint8), np.column_stack([np.diag(scale), 0.5 * scale - 0.5])


def _compose(outer: npt.NDArray[np.float64], inner: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The (2, 3) matrix that applies ``inner``, then ``outer``."""
    composed: npt.NDArray[np.float64] = outer @ np.vstack([inner, [0.0, 0.0, 1.0]])
    return composed


def pixels_of(image: ImageLike) -> Image:
    """Read an image if it is a path.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        EveryposeError: when it cannot be read, or an array is not one RGB image.
    """
    if not isinstance(image, np.ndarray):
        return read_image(Path(image))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise EveryposeError(
            f"an image array must be (height, width, 3) uint8 RGB, not {image.dtype} of shape {image.shape}"
        )
    return np.asarray(image, np.uint8)
