"""Training samples of BoIR and CID, without the heatmaps, which are rendered on the device from these arrays.

Geometry follows the released training code in float64 (CID, section 3; CornerNet's radius; center jitter). "Output"
pixels are those of the network's maps, at a quarter of the input's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64, Image, Int64, Mask
from everypose.core.geometry import reduced_matrix, transform
from everypose.data.masks import loss_mask
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.methods.batch import Array, Batch
from everypose.methods.single_stage.augmentation import ImageDraws, recolor, region_matrix
from everypose.methods.single_stage.counts import LossCounts, count
from everypose.methods.single_stage.settings import ImageSampleSettings
from everypose.skeleton.skeleton import Skeleton

STRIDE = 4
MOST_INSTANCES = 200
# The least overlap of a box with one moved by the radius (CornerNet).
_RADIUS_OVERLAP = 0.7


@dataclass(frozen=True)
class ImageSample:
    """One augmented image and its M people, of whom I are instances to decode.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        loss_mask: (S/4, S/4) bool. Pixels that are False are ignored by the heatmap losses.
        keypoints: (M, K, 3) float32: x, y in output pixels, visibility.
        radius: (M,) int64: of the person's Gaussians, output pixels.
        center: (M, 2) float32: x, y in output pixels.
        center_drawn: (M,) bool: the person is large enough to be found.
        instance_person: (I,) int64: which person, smallest area first.
        instance_yx: (I, 2) int64: the pixel that the person is decoded from, y before x.
        instance_boxes: (I, 4) float32: x, y, width, height in output pixels.
        key: the sample's name, for messages.

    >>> from pathlib import Path
    >>> coco, boxes = Skeleton.named("coco"), np.array([[10.0, 10, 50, 60]])
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), np.full((1, 17, 3), (30.0, 40.0, 2.0)), boxes,
    ...     np.array([900.0]), np.array([False]), [None],
    ... )
    >>> settings, image = ImageSampleSettings(size=64), np.zeros((64, 64, 3), np.uint8)
    >>> sample = make_sample(scene, image, coco, settings, draws=ImageDraws(jitter=np.zeros((1, 2), np.int64)))
    >>> sample.image.shape, sample.loss_mask.shape, sample.instance_yx.tolist()
    ((64, 64, 3), (16, 16), [[10, 7]])
    """

    image: npt.NDArray[np.uint8]
    loss_mask: Mask
    keypoints: Float32
    radius: Int64
    center: Float32
    center_drawn: Mask
    instance_person: Int64
    instance_yx: Int64
    instance_boxes: Float32
    key: str


@dataclass(frozen=True, kw_only=True)
class ImageBatch(Batch[Array]):
    """B samples; what is ragged over people is concatenated along axis 0.

    M people and I instances are those of all images; "output pixels" are those of the network's maps, (h, w).

    Attributes:
        images: (B, S, S, 3) uint8 RGB.
        loss_mask: (B, 1, h, w) bool. Pixels that are False are ignored by the heatmap losses.
        person_image: (M,) int64, the image of each person.
        keypoints: (M, K, 3) float32: x, y in output pixels, visibility.
        radius: (M,) int64: radius of the person's Gaussians, in output pixels.
        center: (M, 2) float32: x, y in output pixels.
        center_drawn: (M,) bool: whether the person is large enough to be found.
        instance_image: (I,) int64, the image of each instance.
        instance_person: (I,) int64, the person of each instance.
        instance_yx: (I, 2) int64: the pixel that the instance is decoded from, y before x.
        instance_boxes: (I, 4) float32: x, y, width, height in output pixels.
        most_instances: largest number of instances in one image; known on the host, so that nothing waits for the
            device.
        counts: what the losses are means over, in all batches of the optimizer step; None for this batch alone.

    >>> from pathlib import Path
    >>> coco, nothing = Skeleton.named("coco"), np.zeros(0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, nothing, np.zeros((0, 17, 3)), np.zeros((0, 4)), nothing, nothing > 0, []
    ... )
    >>> settings, image = ImageSampleSettings(size=64), np.zeros((64, 64, 3), np.uint8)
    >>> sample = make_sample(scene, image, coco, settings, draws=ImageDraws())
    >>> batch = collate([sample, sample], np.random.default_rng(0))
    >>> batch.images.shape, batch.most_instances
    ((2, 64, 64, 3), 0)
    """

    images: Array
    loss_mask: Array
    person_image: Array
    keypoints: Array
    radius: Array
    center: Array
    center_drawn: Array
    instance_image: Array
    instance_person: Array
    instance_yx: Array
    instance_boxes: Array
    most_instances: int
    counts: LossCounts | None = None

    def in_step(self, batches: Sequence[Self]) -> Self:
        """Return the batch with the counts of all batches of its step."""
        return replace(self, counts=LossCounts.total([batch.counts for batch in batches if batch.counts is not None]))


def training_scenes(scenes: SceneSet, need_keypoints: bool = True) -> list[Scene]:
    """Return the scenes to train on: those with a labeled person (the rule for COCO), or with any annotation.

    >>> training_scenes(SceneSet([], Skeleton.named("coco"), "train"))
    []
    """
    return [scene for scene in scenes if (scene.is_labeled_person.any() if need_keypoints else len(scene))]


def make_sample(
    scene: Scene,
    image: Image,
    skeleton: Skeleton,
    settings: ImageSampleSettings,
    *,
    draws: ImageDraws,
    reduction: int = 1,
) -> ImageSample:
    """Make the training sample of an image for given random draws.

    Args:
        scene: the image's annotations.
        image: (H, W, 3) uint8 RGB, H and W those of the annotations divided by ``reduction``.
        skeleton: whose left and right keypoints swap in a mirrored sample.
        settings: size, and what counts as an instance.
        draws: from :func:`everypose.methods.single_stage.augmentation.draw`.
        reduction: by which the image was shrunk when it was read; annotations stay those of the whole image.

    Raises:
        EveryposeError: if the image has another size than its annotations say, or a segmentation is malformed.

    >>> from pathlib import Path
    >>> coco, boxes = Skeleton.named("coco"), np.array([[10.0, 10, 50, 60]])
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), np.full((1, 17, 3), (30.0, 40.0, 2.0)), boxes,
    ...     np.array([900.0]), np.array([False]), [None],
    ... )
    >>> settings, image = ImageSampleSettings(size=64, minimum_area=0), np.zeros((64, 64, 3), np.uint8)
    >>> draws = ImageDraws(jitter=np.zeros((1, 2), np.int64))
    >>> sample = make_sample(scene, image, coco, settings, draws=draws)
    >>> sample.keypoints[0, 0].tolist(), sample.instance_boxes.tolist()  # at a quarter of the image's resolution
    ([7.5, 10.0, 2.0], [[2.5, 2.5, 10.0, 12.5]])
    """
    size, output_size = settings.size, settings.size // STRIDE
    height, width = (reduction * side for side in image.shape[:2])
    if (height, width) != (scene.height, scene.width):
        raise EveryposeError(
            f"{scene.path} is {width} x {height} pixels, but its annotations are for "
            f"{scene.width} x {scene.height}; 'everypose data doctor' finds and repairs this"
        )
    to_input = region_matrix(scene.height, scene.width, size, draws)
    to_output = region_matrix(scene.height, scene.width, output_size, draws)

    people = np.flatnonzero(scene.is_labeled_person)
    keypoints, corners = _moved(scene, people, to_output)
    if draws.flip:
        keypoints, corners = _flipped(keypoints, corners, skeleton, output_size, settings.exact_flip)
    centers = _centers(keypoints)
    boxes = scene.boxes[people]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * abs(np.linalg.det(to_input[:, :2]))
    center_drawn = areas >= settings.minimum_area
    person, pixels = _instances(centers, areas, center_drawn, output_size, draws.jitter)

    keypoints_and_visibility = np.concatenate(
        [_single_precision(keypoints[:, :, :2]), keypoints[:, :, 2:].astype(np.float32)], axis=2
    )
    return ImageSample(
        image=recolor(_warped_image(image, reduced_matrix(to_input, reduction), size, draws.flip), draws),
        loss_mask=_warped_mask(loss_mask(scene, settings.mask_unlabeled), to_output, output_size, draws.flip),
        keypoints=keypoints_and_visibility,
        radius=gaussian_radius(corners, output_size),
        center=_single_precision(centers),
        center_drawn=center_drawn,
        instance_person=person,
        instance_yx=pixels[:, ::-1].copy(),
        instance_boxes=_instance_boxes(corners[person], output_size).astype(np.float32),
        key=scene.file_name,
    )


def gaussian_radius(corners: Float64, output_size: int) -> Int64:
    """Compute the radius of a person's Gaussians from its box (CornerNet's rule, with the quadratics as released).

    Args:
        corners: (M, 4, 2) top-left, top-right, bottom-left and bottom-right in output pixels.
        output_size: H, of the map; corners are clipped to it.

    Returns:
        (M,) output pixels.

    >>> corners = np.array([[[0.0, 0], [40, 0], [0, 40], [40, 40]]])
    >>> gaussian_radius(corners, output_size=128).tolist()
    [10]
    """
    clipped = corners.clip(0, output_size - 1)
    height = np.ceil(np.linalg.norm(clipped[:, 2] - clipped[:, 0], axis=1))
    width = np.ceil(np.linalg.norm(clipped[:, 1] - clipped[:, 0], axis=1))
    total, product, o = height + width, height * width, _RADIUS_OVERLAP
    coefficients = (
        (1.0, total, product * (1 - o) / (1 + o)),
        (4.0, 2 * total, (1 - o) * product),
        (4 * o, -2 * o * total, (o - 1) * product),
    )
    # Not divided by a: the form that the published networks were trained with.
    radii = [(b + np.sqrt(b**2 - 4 * a * c)) / 2 for a, b, c in coefficients]
    radius: Int64 = np.minimum.reduce(radii).astype(np.int64).clip(min=0)
    return radius


def collate(
    samples: Sequence[ImageSample], rng: np.random.Generator, most_instances: int = MOST_INSTANCES
) -> ImageBatch[npt.NDArray[np.generic]]:
    """Join samples to a batch; of more than ``most_instances`` instances, a random subset is kept, in order.

    >>> from pathlib import Path
    >>> coco, nothing = Skeleton.named("coco"), np.zeros(0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, nothing, np.zeros((0, 17, 3)), np.zeros((0, 4)), nothing, nothing > 0, []
    ... )
    >>> settings, image = ImageSampleSettings(size=64), np.zeros((64, 64, 3), np.uint8)
    >>> sample = make_sample(scene, image, coco, settings, draws=ImageDraws())
    >>> collate([sample, sample], np.random.default_rng(0)).keys
    ('a.jpg', 'a.jpg')
    """
    people = np.array([len(sample.radius) for sample in samples])
    instances = np.array([len(sample.instance_person) for sample in samples])
    images = np.arange(len(samples), dtype=np.int64)
    first_person = np.cumsum(people) - people
    instance_image = np.repeat(images, instances)
    kept = np.arange(len(instance_image))
    if len(kept) > most_instances:
        kept = np.sort(rng.choice(len(kept), most_instances, replace=False))
    instance_person = np.concatenate([sample.instance_person for sample in samples]) + first_person[instance_image]
    batch = ImageBatch(
        images=np.stack([sample.image for sample in samples]),
        loss_mask=np.stack([sample.loss_mask[None] for sample in samples]),
        person_image=np.repeat(images, people),
        keypoints=np.concatenate([sample.keypoints for sample in samples]),
        radius=np.concatenate([sample.radius for sample in samples]),
        center=np.concatenate([sample.center for sample in samples]),
        center_drawn=np.concatenate([sample.center_drawn for sample in samples]),
        instance_image=instance_image[kept],
        instance_person=instance_person[kept],
        instance_yx=np.concatenate([sample.instance_yx for sample in samples])[kept],
        instance_boxes=np.concatenate([sample.instance_boxes for sample in samples])[kept],
        most_instances=int(np.bincount(instance_image[kept], minlength=1).max()),
        keys=tuple(sample.key for sample in samples),
    )
    return replace(batch, counts=count(batch))


def _moved(scene: Scene, people: Int64, to_output: Float64) -> tuple[Float64, Float64]:
    """Map keypoints (M, K, 3) and box corners (M, 4, 2; top-left, top-right, bottom-left, bottom-right) to the map."""
    keypoints = scene.keypoints[people].copy()
    keypoints[:, :, :2] = transform(keypoints[:, :, :2], to_output)
    corners = scene.boxes[people][:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 4, 2)
    return keypoints, transform(corners, to_output)


def _flipped(
    keypoints: Float64, corners: Float64, skeleton: Skeleton, output_size: int, exact: bool
) -> tuple[Float64, Float64]:
    """Mirror both; left and right keypoints and corners swap.

    The image's x becomes S - 1 - x, hence S / 4 - 1 / 4 - x in the map. The released code has S / 4 - 1 - x, three
    image pixels further left, in half of all samples.
    """
    turned = output_size - (1 / STRIDE if exact else 1)
    keypoints, corners = keypoints[:, skeleton.flip_index], corners[:, [1, 0, 3, 2]]
    for points in (keypoints, corners):
        points[:, :, 0] = turned - points[:, :, 0]
    return keypoints, corners


def _centers(keypoints: Float64) -> Float64:
    """Average each person's labeled keypoints: (M, 2)."""
    labeled = keypoints[:, :, 2:] > 0
    centers: Float64 = np.where(labeled, keypoints[:, :, :2], 0.0).sum(axis=1) / labeled.sum(axis=1)
    return centers


def _instances(centers: Float64, areas: Float64, large: Mask, output_size: int, jitter: Int64) -> tuple[Int64, Int64]:
    """Choose the people to decode, smallest first: (I,) indices and (I, 2) pixels x, y.

    Without small people, people whose center is outside, and people whose pixel a smaller person has.
    """
    order = np.argsort(areas, kind="stable")
    pixels = np.trunc(centers).astype(np.int64)
    order = order[large[order] & _inside(pixels[order], output_size)]
    pixels = pixels[order]
    moves = np.zeros_like(pixels)
    moves[: len(jitter)] = jitter[: len(pixels)]
    pixels += np.where(_inside(pixels + moves, output_size)[:, None], moves, 0)
    _, first = np.unique(pixels[:, 1] * output_size + pixels[:, 0], return_index=True)
    first.sort()
    return order[first], pixels[first]


def _inside(pixels: Int64, output_size: int) -> Mask:
    return np.asarray(((pixels >= 0) & (pixels < output_size)).all(axis=1))


def _instance_boxes(corners: Float64, output_size: int) -> Float64:
    """Return (I, 4) x, y, width, height, each clipped by itself, so that a box may still pass the border."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high - low], axis=1).clip(0, output_size - 1)


def _single_precision(points: Float64) -> Float32:
    """Round to float32 with the same integer part, which is the pixel of a Gaussian's peak."""
    rounded = points.astype(np.float32)
    moved = np.trunc(rounded) != np.trunc(points)
    rounded[moved] = np.nextafter(rounded[moved], np.float32(0))
    return rounded


def _warped_image(image: npt.NDArray[np.uint8], matrix: Float64, size: int, flip: bool) -> npt.NDArray[np.uint8]:
    """Warp (H, W, 3) to (size, size, 3), as four channels, which OpenCV warps in about half of the time of three."""
    padded = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), dtype=np.uint8)
    warped = cv2.cvtColor(_warped(padded, matrix, size, flip), cv2.COLOR_RGBA2RGB)
    return np.asarray(warped, dtype=np.uint8)


def _warped_mask(mask: Mask, matrix: Float64, size: int, flip: bool) -> Mask:
    """Warp a mask as bytes, with a threshold of one half; pixels outside the image become False."""
    return _warped(mask.view(np.uint8) * 255, matrix, size, flip) > 127


def _warped(image: npt.NDArray[np.uint8], matrix: Float64, size: int, flip: bool) -> npt.NDArray[np.uint8]:
    warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.flip(warped, 1) if flip else warped, dtype=np.uint8)
