"""Training samples of PoseFix: a person's crop, the true pose, and a pose with synthetic errors as input."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64, Image, Int64
from everypose.core.geometry import Size, box_iou, transform
from everypose.data.scenes import Scene
from everypose.methods.batch import Array, Batch
from everypose.methods.posefix.error_rates import ErrorRates
from everypose.methods.posefix.errors import ErrorContext, synthesize
from everypose.methods.top_down.augmentation import CropDraws
from everypose.methods.top_down.crops import CropGeometry, clean_boxes
from everypose.methods.top_down.samples import make_sample, sample_matrix
from everypose.skeleton.skeleton import Skeleton

NEAR_IOU = 0.1
"""Boxes with this IoU or a higher one belong to people nearby."""


@dataclass(frozen=True)
class RefinementSample:
    """One crop with its true pose and its input pose.

    Attributes:
        crop: (H, W, 3) uint8 RGB.
        target: (K, 3) float32 true x, y in crop pixels and weight; 1 for a labeled keypoint inside the crop, 0 for one
            that is ignored in the loss.
        pose: (K, 3) float32 input x, y in crop pixels and 1; 0 for a keypoint that is not given.
        key: names the sample in messages.

    >>> crop, pose = np.zeros((64, 48, 3), np.uint8), np.ones((17, 3), np.float32)
    >>> RefinementSample(crop, target=pose, pose=pose, key="a.jpg, annotation 7").key
    'a.jpg, annotation 7'
    """

    crop: Image
    target: Float32
    pose: Float32
    key: str


@dataclass(frozen=True, kw_only=True)
class RefinementBatch(Batch[Array]):
    """B samples.

    Attributes:
        images: (B, H, W, 3) uint8 RGB.
        targets: (B, K, 3) float32 x, y in crop pixels and weight.
        poses: (B, K, 3) float32 x, y in crop pixels and whether given.

    >>> pose = np.ones((17, 3), np.float32)
    >>> sample = RefinementSample(np.zeros((64, 48, 3), np.uint8), target=pose, pose=pose, key="a.jpg, annotation 7")
    >>> batch = collate([sample, sample])
    >>> batch.images.shape, batch.poses.shape
    ((2, 64, 48, 3), (2, 17, 3))
    """

    images: Array
    targets: Array
    poses: Array


@dataclass(frozen=True)
class SampleMaker:
    """Makes training samples of people of one skeleton.

    Attributes:
        skeleton: of the keypoints; with sigmas.
        rates: probabilities of the kinds of error for this skeleton.
        geometry: of the crops.

    >>> from pathlib import Path
    >>> coco, keypoints = Skeleton.named("coco"), np.full((1, 17, 3), (20.0, 30.0, 2.0))
    >>> boxes, areas = np.array([[10.0, 10, 40, 60]]), np.array([900.0])
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), keypoints, boxes, areas, np.array([False]), [None]
    ... )
    >>> maker = SampleMaker(coco, ErrorRates.of(coco), CropGeometry(Size(48, 64)))
    >>> image, rng = np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0)
    >>> sample = maker.sample(scene, 0, image, keypoints[0], draws=CropDraws(), rng=rng)
    >>> sample.crop.shape, float(sample.target[:, 2].sum())
    ((64, 48, 3), 17.0)
    """

    skeleton: Skeleton
    rates: ErrorRates
    geometry: CropGeometry

    def sample(
        self,
        scene: Scene,
        person: int,
        image: Image,
        estimated: Float64,
        *,
        draws: CropDraws,
        rng: np.random.Generator,
    ) -> RefinementSample:
        """Make the sample of a person for given random draws of the crop.

        Args:
            scene: the image's annotations.
            person: row of the annotation.
            image: (H, W, 3) uint8 RGB.
            estimated: (K, 3) another estimator's x, y in image pixels and whether there is one.
            draws: from :func:`everypose.methods.top_down.augmentation.draw`.
            rng: draws the errors.

        Raises:
            EveryposeError: if the image has another size than its annotations say.
        """
        cut = make_sample(scene, [person], image, self.skeleton, geometry=self.geometry, draws=draws, drop_outside=True)
        context = self._context(scene, person, estimated, draws)
        pose = synthesize(
            context, self.rates, rng, sigmas=self.skeleton.require_sigmas(), flip_index=self.skeleton.flip_index
        )
        return RefinementSample(cut.crop, cut.keypoints[0], pose.astype(np.float32), cut.key)

    def _context(self, scene: Scene, person: int, estimated: Float64, draws: CropDraws) -> ErrorContext:
        """The person and the people nearby in the pixels of an augmented crop."""
        matrix = sample_matrix(scene, person, self.skeleton, self.geometry, draws)
        near = people_nearby(scene, person)
        poses = np.concatenate([scene.keypoints[[person]], estimated[None], scene.keypoints[near]])
        if draws.flip:
            poses = poses[:, self.skeleton.flip_index]
        poses = np.concatenate([transform(poses[..., :2], matrix), poses[..., 2:]], axis=-1)
        (box,), _ = clean_boxes(scene.boxes[[person]], Size(scene.width, scene.height))
        area = float(np.prod(box[2:] - box[:2]) * abs(np.linalg.det(matrix[:, :2])))
        return ErrorContext(
            keypoints=poses[0], estimated=poses[1], neighbors=poses[2:], overlap=len(near), area=max(area, 1.0)
        )


def people_nearby(scene: Scene, person: int) -> Int64:
    """Rows of the other people whose box has an IoU of at least :data:`NEAR_IOU` with a person's.

    >>> from pathlib import Path
    >>> boxes, areas = np.array([[0.0, 0, 40, 60], [10, 0, 50, 60], [200, 0, 240, 60]]), np.full(3, 2400.0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 320, 64, np.arange(3), np.ones((3, 17, 3)), boxes, areas,
    ...     np.zeros(3, bool), [None] * 3,
    ... )
    >>> people_nearby(scene, person=0).tolist()
    [1]
    """
    near = (box_iou(scene.boxes[[person]], scene.boxes)[0] >= NEAR_IOU) & ~scene.is_crowd
    near[person] = False
    return np.flatnonzero(near)


def collate(samples: Sequence[RefinementSample]) -> RefinementBatch[npt.NDArray[np.generic]]:
    """Join samples of one crop size and skeleton.

    >>> pose = np.ones((17, 3), np.float32)
    >>> samples = [RefinementSample(np.zeros((64, 48, 3), np.uint8), pose, pose, key=name) for name in ("a", "b")]
    >>> collate(samples).keys
    ('a', 'b')
    """
    return RefinementBatch(
        images=np.stack([sample.crop for sample in samples]),
        targets=np.stack([sample.target for sample in samples]),
        poses=np.stack([sample.pose for sample in samples]),
        keys=tuple(sample.key for sample in samples),
    )
