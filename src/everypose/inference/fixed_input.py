"""The estimator of models that take whole images at one size: RTMO and DETRPose."""

from collections.abc import Sequence

import cv2
import numpy as np

from everypose.core import geometry
from everypose.core.arrays import Float64, Image
from everypose.core.geometry import Size
from everypose.inference.detector_input import in_corner
from everypose.inference.estimator import Estimator
from everypose.inference.image_like import ImageLike, image_pixels
from everypose.inference.runtimes.protocols import RawPoses, Runtime
from everypose.inference.single_stage import Resized, check_poses
from everypose.methods.fixed_input.settings import FixedInputInference
from everypose.models.config import ModelConfig
from everypose.people import People


class FixedInputEstimator(Estimator[Resized]):
    """Finds the people in images by one pass over an input of fixed size.

    Duplicate detections are suppressed by the runtime, as the model's configuration says.

    >>> from types import SimpleNamespace
    >>> from everypose.methods.fixed_input.settings import RtmoSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = FixedInputInference(input_size=(640, 640))
    >>> config = ModelConfig(name="r", network=RtmoSettings(), skeleton=Skeleton.named("coco"), inference=inference)
    >>> person = np.full((1, 17, 3), 100.0, np.float32), np.array([0.9], np.float32), np.array([0])
    >>> pose = FixedInputEstimator(SimpleNamespace(run=lambda images, min_score: person), config)
    >>> pose(np.zeros((320, 320, 3), np.uint8)).keypoints[0, 0, :2].tolist()  # half of the input's pixels
    [50.0, 50.0]
    """

    def __init__(
        self, runtime: Runtime, config: ModelConfig, min_score: float | None = None, batch_size: int = 1
    ) -> None:
        """Join a loaded model and its configuration.

        Args:
            runtime: the loaded model.
            config: its configuration: skeleton, input size, thresholds.
            min_score: lowest person score to report; the configuration's by default.
            batch_size: the most images that go through the network at once.
        """
        super().__init__(config, min_score, batch_size)
        self._runtime = runtime

    def prepare(self, image: ImageLike) -> Resized:
        """Read an image if it is a path, and fit it into the network's input."""
        pixels = image_pixels(image)
        canvas, matrix = fit_input(pixels, self.config.on_fixed_input)
        return Resized(pixels, canvas, matrix)

    def predict(self, prepared: Sequence[Resized]) -> list[People]:
        """Find the people in prepared images."""
        found: list[People] = []
        for start in range(0, len(prepared), self.batch_size):
            batch = prepared[start : start + self.batch_size]
            raw = self._runtime.run(np.stack([one.canvas for one in batch]), self.min_score)
            check_poses(raw, self.skeleton, len(batch))
            found += [self._people(raw, position, one) for position, one in enumerate(batch)]
        return found

    def _people(self, raw: RawPoses, position: int, prepared: Resized) -> People:
        """People of one image of a batch, in image pixels, best first."""
        own = (raw[2] == position) & (raw[1] >= self.min_score)
        order = np.argsort(-raw[1][own], kind="stable")
        keypoints = raw[0][own][order].astype(np.float64)
        keypoints[..., :2] = geometry.transform(keypoints[..., :2], geometry.inverse(prepared.matrix))
        return People(keypoints, raw[1][own][order], self.skeleton, image=prepared.image)


def fit_input(image: Image, settings: FixedInputInference) -> tuple[Image, Float64]:
    """Fit an image into a network's input of fixed size.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: size of the input, and how an image is fitted into it.

    Returns:
        The input (h, w, 3) uint8 RGB and the (2, 3) matrix from image pixels to input pixels, without the shift of half
        a pixel: so the networks were trained.

    >>> canvas, matrix = fit_input(np.zeros((240, 320, 3), np.uint8), FixedInputInference(input_size=(640, 640)))
    >>> canvas.shape, canvas[479:481, 0, 0].tolist(), matrix[0].tolist()
    ((640, 640, 3), [0, 114], [2.0, 0.0, 0.0])
    """
    target, own = settings.input_size, Size(image.shape[1], image.shape[0])
    if settings.fit == "stretch":
        shrinks = target.width * target.height < own.width * own.height
        stretched = cv2.resize(image, target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(stretched, np.uint8), _scaling(target.width / own.width, target.height / own.height)
    canvas, ratio = in_corner(image, target)
    return canvas, _scaling(ratio, ratio)


def _scaling(across: float, down: float) -> Float64:
    return np.array([[across, 0.0, 0.0], [0.0, down, 0.0]])
