"""Training samples: crops and small arrays; heatmaps are rendered from these on the device.

A sample has N instances, all of one crop: the person whose box made the crop (the primary) and, for methods that
predict several people in one box, others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64, Int64
from everypose.core.geometry import Size, transform
from everypose.data.scenes import Scene
from everypose.errors import EveryposeError
from everypose.methods.batch import Array, Batch
from everypose.methods.top_down.augmentation import CropDraws, augmented_region
from everypose.methods.top_down.crops import CropGeometry, clean_boxes, warp
from everypose.skeleton.skeleton import Skeleton


@dataclass(frozen=True)
class CropSample:
    """One crop and the N instances that are to be found in it.

    Attributes:
        crop: (H, W, 3) uint8 RGB.
        keypoints: (N, K, 3) float32: x, y in crop pixels and weight, 1 for a labeled keypoint (visible or
            hidden), 0 for one that is ignored in the loss. Instance 0 is the primary.
        udp: whether the crop is of the UDP convention, which its targets then follow.
        dataset: index of the data set in a mixture.
        key: names the sample in messages.

    >>> pose = np.array([[[20.0, 30.0, 1.0]]], np.float32)
    >>> CropSample(np.zeros((64, 48, 3), np.uint8), pose, udp=False, dataset=0, key="a.jpg, annotation 7").key
    'a.jpg, annotation 7'
    """

    crop: npt.NDArray[np.uint8]
    keypoints: Float32
    udp: bool
    dataset: int
    key: str


@dataclass(frozen=True, kw_only=True)
class CropBatch(Batch[Array]):
    """B samples.

    Attributes:
        images: (B, H, W, 3) uint8 RGB.
        keypoints: (B, N, K, 3) float32: x, y in crop pixels, weight; all 0 for keypoints that a data set does not have.
        udp: (B,) bool: whether a sample's crop follows the UDP convention.
        dataset: (B,) int64: index of the data set in a mixture.

    >>> pose = np.array([[[20.0, 30.0, 1.0]]], np.float32)
    >>> sample = CropSample(np.zeros((64, 48, 3), np.uint8), pose, udp=False, dataset=0, key="a.jpg")
    >>> batch = collate([sample, sample])
    >>> batch.images.shape, batch.keypoints.shape
    ((2, 64, 48, 3), (2, 1, 1, 3))
    """

    images: Array
    keypoints: Array
    udp: Array
    dataset: Array


def trainable_people(scene: Scene) -> Int64:
    """The rows of a scene's annotations that make samples, in order.

    They are people, not crowd regions, with a labeled keypoint, an area and a box that is not empty in the image.

    >>> from pathlib import Path
    >>> boxes, crowd = np.array([[0.0, 0, 20, 40], [5, 5, 5, 5], [0, 0, 60, 40]]), np.array([False, False, True])
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.arange(3), np.ones((3, 17, 3)), boxes, np.full(3, 800.0), crowd,
    ...     [None] * 3,
    ... )
    >>> trainable_people(scene).tolist()  # the second box is empty, the third is a crowd region
    [0]
    """
    _, usable = clean_boxes(scene.boxes, Size(scene.width, scene.height))
    return np.flatnonzero(scene.is_labeled_person & (scene.areas > 0) & usable)


def make_sample(
    scene: Scene,
    people: Sequence[int],
    image: npt.NDArray[np.uint8],
    skeleton: Skeleton,
    *,
    geometry: CropGeometry,
    draws: CropDraws,
    drop_outside: bool = False,
    dataset: int = 0,
) -> CropSample:
    """Make the training sample of a person for given random draws.

    Args:
        scene: the image's annotations.
        people: N rows of them; the first is the primary, whose box makes the crop.
        image: (H, W, 3) uint8 RGB.
        skeleton: of the keypoints.
        geometry: of the crops.
        draws: from :func:`everypose.methods.top_down.augmentation.draw`.
        drop_outside: whether keypoints outside the crop are ignored in the loss, as in MIPNet; otherwise a heatmap may
            show a part of a Gaussian whose peak lies outside.
        dataset: index of the data set in a mixture.

    Raises:
        EveryposeError: if the image has another size than its annotations say, or the box cannot be cropped.

    >>> from pathlib import Path
    >>> boxes, keypoints = np.array([[10.0, 10, 40, 50]]), np.full((1, 17, 3), (25.0, 30.0, 2.0))
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), keypoints, boxes, np.array([900.0]),
    ...     np.array([False]), [None],
    ... )
    >>> image, geometry = np.zeros((64, 64, 3), np.uint8), CropGeometry(Size(48, 64))
    >>> sample = make_sample(scene, [0], image, Skeleton.named("coco"), geometry=geometry, draws=CropDraws())
    >>> sample.crop.shape, sample.keypoints.shape, sample.key
    ((64, 48, 3), (1, 17, 3), 'a.jpg, annotation 7')
    """
    if image.shape[:2] != (scene.height, scene.width):
        raise EveryposeError(
            f"{scene.path} is {image.shape[1]} x {image.shape[0]} pixels, but its annotations are for "
            f"{scene.width} x {scene.height}; 'everypose data doctor' finds and repairs this"
        )
    matrix = sample_matrix(scene, people[0], skeleton, geometry, draws)
    keypoints = scene.keypoints[list(people)]
    if draws.flip:
        keypoints = keypoints[:, skeleton.flip_index]
    return CropSample(
        crop=warp(image, matrix, geometry.size),
        keypoints=_in_crop(keypoints, matrix, geometry.size, drop_outside).astype(np.float32),
        udp=geometry.convention == "udp",
        dataset=dataset,
        key=f"{scene.file_name}, annotation {scene.annotation_ids[people[0]]}",
    )


def sample_matrix(scene: Scene, person: int, skeleton: Skeleton, geometry: CropGeometry, draws: CropDraws) -> Float64:
    """The (2, 3) matrix from the image to an augmented crop.

    A mirrored sample is the crop that the same rotation would take from the mirrored image.

    >>> from pathlib import Path
    >>> boxes, keypoints = np.array([[10.0, 10, 40, 50]]), np.full((1, 17, 3), (25.0, 30.0, 2.0))
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), keypoints, boxes, np.array([900.0]),
    ...     np.array([False]), [None],
    ... )
    >>> geometry = CropGeometry(Size(48, 64))
    >>> sample_matrix(scene, 0, Skeleton.named("coco"), geometry, CropDraws()).round(2).tolist()
    [[1.31, 0.0, -8.16], [-0.0, 1.31, -6.73]]
    """
    image_size = Size(scene.width, scene.height)
    box = scene.boxes[[person]]
    centers, sizes = geometry.regions(geometry.cleaned(box, image_size))
    cleaned, _ = clean_boxes(box, image_size)
    center, size = augmented_region(
        centers[0],
        sizes[0],
        box=cleaned[0],
        keypoints=scene.keypoints[person],
        skeleton=skeleton,
        aspect=geometry.aspect,
        draws=draws,
    )
    if not draws.flip:
        return geometry.matrix(center, size, draws.rotation)
    last = scene.width - 1
    matrix = geometry.matrix((last - center[0], center[1]), size, draws.rotation)
    return np.column_stack([-matrix[:, 0], matrix[:, 1], matrix[:, 2] + last * matrix[:, 0]])


def _in_crop(keypoints: Float64, matrix: Float64, size: Size, drop_outside: bool) -> Float64:
    """Keypoints (N, K, 3) x, y in crop pixels and weight; all zero if ignored in the loss."""
    points = transform(keypoints[..., :2], matrix)
    asked = keypoints[..., 2] > 0
    if drop_outside:
        asked &= ((points >= 0) & (points <= size)).all(axis=-1)
    return np.concatenate([points * asked[..., None], asked[..., None]], axis=-1)


def collate(samples: Sequence[CropSample], keypoints: int = 0) -> CropBatch[npt.NDArray[np.generic]]:
    """Join samples of one crop size and one number of instances.

    Args:
        samples: B of them.
        keypoints: K of the batch, the most of the mixture; by default the most of these samples.

    >>> crop = np.zeros((64, 48, 3), np.uint8)
    >>> poses = np.ones((1, 17, 3), np.float32), np.ones((1, 21, 3), np.float32)
    >>> samples = [CropSample(crop, pose, udp=True, dataset=i, key=str(i)) for i, pose in enumerate(poses)]
    >>> batch = collate(samples)
    >>> batch.keypoints.shape, batch.dataset.tolist()  # padded to the larger skeleton
    ((2, 1, 21, 3), [0, 1])
    """
    most = max(keypoints, *(sample.keypoints.shape[1] for sample in samples))
    padded = np.zeros((len(samples), len(samples[0].keypoints), most, 3), dtype=np.float32)
    for row, sample in zip(padded, samples, strict=True):
        row[:, : sample.keypoints.shape[1]] = sample.keypoints
    return CropBatch(
        images=np.stack([sample.crop for sample in samples]),
        keypoints=padded,
        udp=np.array([sample.udp for sample in samples], dtype=np.bool_),
        dataset=np.array([sample.dataset for sample in samples], dtype=np.int64),
        keys=tuple(sample.key for sample in samples),
    )
