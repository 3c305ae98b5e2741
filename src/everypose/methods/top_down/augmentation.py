"""Random augmentation of crops: the numbers drawn for one sample, and the region that they give.

The rules are those of HRNet, which MIPNet and ViTPose share with other numbers.
"""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64
from everypose.errors import EveryposeError
from everypose.methods.top_down.crops import keypoint_region
from everypose.methods.top_down.settings import CropAugmentation
from everypose.skeleton.skeleton import Skeleton

# Half bodies are cropped only of people with more labeled keypoints than this.
_HALF_BODY_MORE_THAN = 8
# The half body's region is this times the extent of its keypoints.
_HALF_BODY_PADDING = 1.5
# The upper body is preferred when a normal (not a uniform) draw is below this: with probability 0.69.
_UPPER_BODY_BELOW = 0.5


@dataclass(frozen=True)
class CropDraws:
    """The random numbers of one sample, as drawn; the defaults change nothing.

    Attributes:
        half_body: whether to crop half a body, if enough keypoints are labeled.
        prefer_upper: which half is tried first.
        scale: factor of the region's size.
        rotation: degrees.
        flip: whether the sample is mirrored.
        shift: moves of the region's center, as shares of the box's width and height.

    >>> CropDraws(flip=True).rotation
    0.0
    """

    half_body: bool = False
    prefer_upper: bool = False
    scale: float = 1.0
    rotation: float = 0.0
    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)


def draw(
    rng: np.random.Generator, augmentation: CropAugmentation, person_rng: np.random.Generator | None = None
) -> CropDraws:
    """Draw what one sample needs.

    Args:
        rng: the sample's generator.
        augmentation: the settings.
        person_rng: draws the shift. PoseBH shifts a person's center once for the whole training: give a generator
            that is seeded by the person alone. By default each sample has its own shift.

    >>> draw(np.random.default_rng(0), CropAugmentation(scale=0, rotation=0, flip=1, half_body=0)).flip
    True
    """
    half_body = bool(rng.random() < augmentation.half_body)
    prefer_upper = bool(rng.standard_normal() < _UPPER_BODY_BELOW)
    scale = 1 + _cut(augmentation.scale * rng.standard_normal(), augmentation.scale)
    rotated = rng.random() < augmentation.rotation_probability
    rotation = _cut(augmentation.rotation * rng.standard_normal(), 2 * augmentation.rotation) if rotated else 0.0
    flip = bool(rng.random() < augmentation.flip)
    shift_rng = rng if person_rng is None else person_rng
    shifted = shift_rng.random() < augmentation.shift_probability
    dx, dy = shift_rng.uniform(-augmentation.shift, augmentation.shift, size=2) if shifted else (0.0, 0.0)
    return CropDraws(half_body, prefer_upper, scale, rotation, flip, (float(dx), float(dy)))


def _cut(value: float, most: float) -> float:
    return float(np.clip(value, -most, most))


def augmented_region(
    center: Float64,
    size: Float64,
    *,
    box: Float64,
    keypoints: Float64,
    skeleton: Skeleton,
    aspect: float,
    draws: CropDraws,
) -> tuple[Float64, Float64]:
    """The region of a sample in the image, before it is rotated and mirrored.

    Args:
        center: (2,) of the person's region.
        size: (2,) of the person's region.
        box: (4,) x1 y1 x2 y2, the person's, for the shift.
        keypoints: (K, 3) in image pixels, the person's.
        skeleton: says which keypoints are of the upper body.
        aspect: width over height of a crop.
        draws: the random numbers.

    Returns:
        center (2,), size (2,).

    >>> center, size = augmented_region(
    ...     np.array([50.0, 80.0]), np.array([60.0, 80.0]), box=np.array([20.0, 40, 80, 120]),
    ...     keypoints=np.zeros((17, 3)), skeleton=Skeleton.named("coco"), aspect=0.75,
    ...     draws=CropDraws(scale=1.5, shift=(0.1, 0.0)),
    ... )
    >>> center.tolist(), size.tolist()  # moved by a tenth of the box's width, half as large again
    ([56.0, 80.0], [90.0, 120.0])
    """
    center = center + np.multiply(draws.shift, box[2:] - box[:2])
    if draws.half_body:
        points = half_body(keypoints, skeleton, draws.prefer_upper)
        if len(points):
            center, size = keypoint_region(points, aspect, _HALF_BODY_PADDING)
    return center, size * draws.scale


def half_body(keypoints: Float64, skeleton: Skeleton, prefer_upper: bool) -> Float64:
    """The labeled points of the upper or of the lower half of a body; every keypoint that is not upper is lower.

    The upper half is taken when preferred and more than two of its points are labeled; else the lower half, under the
    same condition; else the upper half.

    Args:
        keypoints: (K, 3) x, y, visibility.
        skeleton: K keypoints.
        prefer_upper: which half is tried first.

    Returns:
        (P, 2) x, y; none when at most 8 keypoints are labeled or the half has less than two.

    Raises:
        EveryposeError: if the skeleton does not know its upper body.

    >>> skeleton = Skeleton.named("coco")
    >>> keypoints = np.column_stack([np.zeros(17), np.arange(17.0), np.full(17, 2)])
    >>> len(half_body(keypoints, skeleton, prefer_upper=True))
    11
    """
    if not skeleton.upper_body:
        raise EveryposeError(
            f"the skeleton {skeleton.name!r} does not say which keypoints are of the upper body: "
            "set the augmentation's half_body to 0"
        )
    labeled = keypoints[:, 2] > 0
    is_upper = np.isin(np.arange(len(keypoints)), skeleton.upper_body)
    upper, lower = keypoints[labeled & is_upper, :2], keypoints[labeled & ~is_upper, :2]
    chosen = lower if len(lower) > 2 and not (prefer_upper and len(upper) > 2) else upper
    enough = labeled.sum() > _HALF_BODY_MORE_THAN and len(chosen) >= 2
    return chosen if enough else chosen[:0]
