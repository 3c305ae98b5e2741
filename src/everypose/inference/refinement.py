"""Refinement of poses: people and their image in, the same people with better keypoints out (PoseFix)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from everypose.core import geometry
from everypose.core.arrays import Float32, Float64, Image, Int64, Numbers
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.inference.device_choice import AUTO
from everypose.inference.estimator import Estimator, PreparedT
from everypose.inference.image_like import ImageLike, image_pixels
from everypose.inference.runtimes.onnx import OPENVINO, OnnxRefinementRuntime, open_session, read_metadata
from everypose.inference.runtimes.protocols import RefinementRuntime
from everypose.inference.top_down import cut_crop
from everypose.methods.top_down.crops import CropGeometry
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile, resolve
from everypose.people import People

FLAT = 20.0
"""Side, in pixels, of the box of a pose without extent."""
CROPS_AT_ONCE = 16
"""The most crops that go through the network at once."""


class Refiner:
    """Refines the poses of any estimator with the same keypoints.

    Scores, boxes and ids stay; of refined poses that have become duplicates, the one with the lower score is
    suppressed by OKS-NMS.

    Attributes:
        config: the model's configuration.
        skeleton: the keypoints that it refines.

    Example:
        >>> import everypose
        >>> pose, refine = everypose.load(), everypose.load_refiner("posefix.onnx")  # doctest: +SKIP
        >>> people = refine(pose("crowd.jpg"))  # doctest: +SKIP
    """

    def __init__(self, runtime: RefinementRuntime, config: ModelConfig) -> None:
        """Join a loaded model and its configuration.

        Args:
            runtime: the loaded model.
            config: its configuration.

        Raises:
            EveryposeError: if the skeleton has no sigmas, which NMS needs.
        """
        self.config = config
        self.skeleton = config.skeleton
        self._runtime = runtime
        settings = config.on_poses
        self._geometry = CropGeometry(settings.crop_size, "classic", settings.padding)
        self._sigmas = None if settings.nms is None else self.skeleton.require_sigmas()

    def __repr__(self) -> str:
        return f"Refiner({self.config.name!r}, {len(self.skeleton)} keypoints of {self.skeleton.name!r})"

    def __call__(self, people: People, image: ImageLike | None = None) -> People:
        """Refine the people of one image.

        Args:
            people: with the model's keypoints.
            image: in which they were found, as for :class:`everypose.Estimator`; by default the image of ``people``.

        Returns:
            New people, in the same order, with the image attached.

        Raises:
            EveryposeError: if the keypoints are not the model's, or the image cannot be read.
            UsageError: if there is no image.
        """
        if people.skeleton.keypoints != self.skeleton.keypoints:
            raise EveryposeError(
                f"{self.config.name} refines the keypoints of {self.skeleton.name}, these people have those of "
                f"{people.skeleton.name}"
            )
        if image is None and people.image is None:
            raise UsageError("these people carry no image: give the one in which they were found")
        pixels = image_pixels(people.image if image is None else image)
        keypoints = self.refine(people.keypoints, pixels)
        refined = People(keypoints, people.scores, people.skeleton, boxes=people.boxes, image=pixels, ids=people.ids)
        return refined[self.distinct(keypoints, people.scores)]

    def refine(self, keypoints: Numbers, image: Image) -> Float64:
        """Refine poses without suppressing duplicates.

        Args:
            keypoints: (N, K, 3) x, y in image pixels and score; those with a score of 0 or less are not given to the
                network. A pose without any given keypoint stays as it is.
            image: (H, W, 3) uint8 RGB.

        Returns:
            (N, K, 3) refined x, y and the same scores.

        Raises:
            EveryposeError: if the model gives something else than refined poses.
        """
        refined = np.array(keypoints, dtype=np.float64)
        with_keypoints = np.flatnonzero((refined[..., 2] > 0).any(axis=1))
        for start in range(0, len(with_keypoints), CROPS_AT_ONCE):
            rows = with_keypoints[start : start + CROPS_AT_ONCE]
            refined[rows, :, :2] = self._refine_batch(refined[rows], image)
        return refined

    def distinct(self, keypoints: Numbers, scores: Numbers) -> Int64:
        """Return the rows (M,) of poses (N, K, 3) with scores (N,) that NMS keeps, in their order."""
        nms = self.config.on_poses.nms
        if nms is None or self._sigmas is None:
            return np.arange(len(scores))
        return np.sort(geometry.oks_nms(keypoints, scores, self._sigmas, nms))

    def _refine_batch(self, poses: Float64, image: Image) -> Float64:
        """Refined x, y (B, K, 2) of a few poses (B, K, 3), in image pixels."""
        centers, sizes = self._geometry.regions(pose_boxes(poses, self.config.on_poses.pose_padding))
        matrices = [self._geometry.matrix(center, size) for center, size in zip(centers, sizes, strict=True)]
        crops = np.stack([cut_crop(image, matrix, self._geometry.size) for matrix in matrices])
        given = np.where(poses[..., 2:] > 0, poses, 0.0)
        inputs = [
            np.concatenate([geometry.transform(pose[:, :2], matrix), pose[:, 2:]], axis=1)
            for pose, matrix in zip(given, matrices, strict=True)
        ]
        raw = self._runtime.run(crops, np.stack(inputs).astype(np.float32))
        self._check(raw, len(poses))
        return np.stack(
            [
                geometry.transform(found, geometry.inverse(matrix))
                for found, matrix in zip(raw.astype(np.float64), matrices, strict=True)
            ]
        )

    def _check(self, raw: Float32, poses: int) -> None:
        """Refuse output that cannot be this skeleton's poses."""
        if raw.shape != (poses, len(self.skeleton), 2):
            raise EveryposeError(
                f"the model gives keypoints of shape {raw.shape} for {poses} poses, but its skeleton "
                f"{self.skeleton.name} has {len(self.skeleton)} keypoints: its configuration belongs to another model"
            )
        if not np.isfinite(raw).all():
            raise EveryposeError("the model gives numbers that are not finite: its weights are damaged")


class RefiningEstimator(Estimator[PreparedT]):
    """An estimator whose poses are refined by a second model.

    Attributes:
        estimator: finds the people.
        refiner: refines their poses.

    >>> from everypose import load
    >>> from types import SimpleNamespace
    >>> pose = load("boir-lite", threads=1)
    >>> refiner = SimpleNamespace(skeleton=pose.skeleton)
    >>> RefiningEstimator(pose, refiner).config.name
    'boir-lite'
    """

    def __init__(self, estimator: Estimator[PreparedT], refiner: Refiner) -> None:
        """Join an estimator and a refiner of the same keypoints.

        Raises:
            UsageError: if their keypoints differ.
        """
        super().__init__(
            estimator.config, estimator.min_score, estimator.batch_size, runs_at_once=estimator.runs_at_once
        )
        if estimator.skeleton.keypoints != refiner.skeleton.keypoints:
            raise UsageError(
                f"{refiner.config.name} refines the keypoints of {refiner.skeleton.name}, and {estimator.config.name} "
                f"finds those of {estimator.skeleton.name}"
            )
        self.estimator = estimator
        self.refiner = refiner

    def prepare(self, image: ImageLike) -> PreparedT:
        """Prepare an image for the estimator."""
        return self.estimator.prepare(image)

    def input_pixels(self, prepared: PreparedT) -> int:
        """Return those of the estimator."""
        return self.estimator.input_pixels(prepared)

    def predict(self, prepared: Sequence[PreparedT]) -> list[People]:
        """Find the people in prepared images and refine their poses."""
        found = self.estimator.predict(prepared)
        return [self.refiner(people, one.image) for people, one in zip(found, prepared, strict=True)]


def pose_boxes(keypoints: Numbers, padding: float) -> Float64:
    """Return the boxes (N, 4) x1 y1 x2 y2 of poses: the extent of their given keypoints, enlarged.

    A side without extent is as long as :data:`FLAT`.

    Args:
        keypoints: (N, K, 3) x, y and score; those with a score of 0 or less are not given.
        padding: size of the box, as a factor of the extent.

    Example:
        >>> pose_boxes(np.array([[[10.0, 5.0, 1.0], [20.0, 5.0, 1.0], [0.0, 0.0, 0.0]]]), 1.2).tolist()
        [[9.0, -5.0, 21.0, 15.0]]
    """
    boxes = geometry.keypoint_boxes(keypoints)
    centers, extents = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    halves = np.where(extents > 0, padding * extents, FLAT) / 2
    return np.concatenate([centers - halves, centers + halves], axis=1)


def load_refiner(model: str | Path, *, device: str = "cpu", flip: bool = False, threads: int | None = None) -> Refiner:
    """Load a refinement model (PoseFix).

    Args:
        model: a folder, an ``.onnx`` file or a hub id.
        device: as in :func:`everypose.load`; "auto" is the CPU.
        flip: test-time flip augmentation: better keypoints in twice the time.
        threads: CPU threads; by default the runtime chooses.

    Raises:
        EveryposeError: if the model is damaged.
        UsageError: if there is no such model or device, or the model finds people and refines none.

    Example:
        >>> everypose.load_refiner("runs/posefix/models/best")  # doctest: +SKIP
        Refiner('posefix-r50-256-coco', 17 keypoints of 'coco')
    """
    file = resolve(model)
    device = "cpu" if device == AUTO else device
    if file.kind == "onnx":
        session = open_session(file.path, threads, device)
        _require_refiner(read_metadata(session, file.path))
        runtime = OnnxRefinementRuntime(session, file.path, flip=flip)
        return Refiner(runtime, runtime.config)
    return _load_torch(file, model, device=device, flip=flip, threads=threads)


def _load_torch(file: ModelFile, name: str | Path, *, device: str, flip: bool, threads: int | None) -> Refiner:
    if device in OPENVINO:
        raise UsageError(f"OpenVINO runs ONNX files, not {name}: export it first, with 'everypose export'")
    try:
        from everypose.inference.runtimes.torch import TorchRefinementRuntime, read_whole_network
    except ImportError as error:
        raise MissingDependencyError(f"running {name}, which is not an ONNX file,", "train") from error
    network, config = read_whole_network(file)
    _require_refiner(config)
    return Refiner(TorchRefinementRuntime(network, config, device=device, flip=flip, threads=threads), config)


def _require_refiner(config: ModelConfig) -> None:
    if not config.is_refiner:
        raise UsageError(f"{config.name} finds people and refines none: give a model of the family posefix")
