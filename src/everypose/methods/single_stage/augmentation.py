"""Random augmentation of whole images: the numbers drawn for one sample, and what they change."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64
from everypose.core.geometry import similarity
from everypose.data.scenes import Scene
from everypose.methods.single_stage.settings import ImageAugmentation

# Translations are given for a region of this side, in pixels.
_SCALE_UNIT = 200


@dataclass(frozen=True)
class ImageDraws:
    """The random numbers of one sample; the defaults change nothing.

    Attributes:
        scale: factor of the image's short side.
        rotation: degrees.
        dx: translation of the region's center to the right, in pixels of the original image.
        dy: the same, down.
        flip: whether the sample is mirrored.
        jitter: (J, 2) int64 translations dx, dy of instance centers, each -1, 0 or 1; one for each instance whose
            center is inside the map, in order; J is at least their number.
        brightness: added value, as a share of the whole range.
        contrast: factor.
        saturation: factor.

    >>> ImageDraws(rotation=30.0, flip=True).scale
    1.0
    """

    scale: float = 1.0
    rotation: float = 0.0
    dx: int = 0
    dy: int = 0
    flip: bool = False
    jitter: Int64 = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0


def draw(rng: np.random.Generator, augmentation: ImageAugmentation, scene: Scene) -> ImageDraws:
    """Draw the numbers of one sample, in the published order: scale, rotation, dx, dy, flip, then the jitter.

    >>> from pathlib import Path
    >>> no_people = np.zeros(0)
    >>> scene = Scene(1, Path("a.jpg"), "a.jpg", 64, 48, *[no_people] * 4, is_crowd=no_people, segmentations=[])
    >>> draws = draw(np.random.default_rng(0), ImageAugmentation(scale=(1, 1), rotation=0), scene)
    >>> draws.scale, draws.rotation, len(draws.jitter)
    (1.0, 0.0, 0)
    """
    scale = float(rng.uniform(*augmentation.scale))
    rotation = float(rng.uniform(-augmentation.rotation, augmentation.rotation))
    reach = int(augmentation.translation * scale * min(scene.height, scene.width) / _SCALE_UNIT)
    dx, dy = (int(move) for move in rng.integers(-reach, reach, size=2, endpoint=True))
    flip = bool(rng.random() < augmentation.flip)
    jitter = rng.integers(-1, 1, size=(len(scene), 2), endpoint=True)
    brightness, contrast, saturation = (
        float(rng.uniform(-reach, reach)) if reach else 0.0
        for reach in (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    )
    return ImageDraws(scale, rotation, dx, dy, flip, jitter, brightness, 1 + contrast, 1 + saturation)


def region_matrix(height: int, width: int, size: int, draws: ImageDraws) -> Float64:
    """Return the (2, 3) matrix from the image to a square of ``size`` pixels, before the flip.

    >>> region_matrix(100, 200, 50, ImageDraws()).round(3).tolist()
    [[0.5, 0.0, -25.0], [-0.0, 0.5, 0.0]]
    """
    center = (width / 2 + draws.dx, height / 2 + draws.dy)
    side = draws.scale * min(height, width)
    return similarity(center, size / side, draws.rotation, (size / 2, size / 2))


def possible_reduction(height: int, width: int, size: int, draws: ImageDraws) -> int:
    """Return the factor 1, 2 or 4 by which an image may be shrunk when it is read, because its sample shrinks it more.

    Large photos are then read in about half of the time, and with less aliasing: warping to less than half of the size
    skips most pixels.

    >>> possible_reduction(2000, 3000, 512, ImageDraws()), possible_reduction(600, 800, 512, ImageDraws())
    (2, 1)
    """
    shrinks = draws.scale * min(height, width) / size
    return max(each for each in (1, 2, 4) if each <= max(1, shrinks) and height % each == width % each == 0)


def recolor(image: npt.NDArray[np.uint8], draws: ImageDraws) -> npt.NDArray[np.uint8]:
    """Change contrast and brightness (about the mid-gray), then saturation, of an (H, W, 3) uint8 RGB image.

    >>> recolor(np.full((1, 1, 3), 100, np.uint8), ImageDraws(brightness=0.1)).tolist()
    [[[126, 126, 126]]]
    """
    if draws.brightness or draws.contrast != 1:
        levels = (np.arange(256) - 127.5) * draws.contrast + 127.5 + 255 * draws.brightness
        image = np.asarray(cv2.LUT(image, levels.round().clip(0, 255).astype(np.uint8)), dtype=np.uint8)
    if draws.saturation != 1:
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        mixed = cv2.addWeighted(image, draws.saturation, gray, 1 - draws.saturation, 0)
        image = np.asarray(mixed, dtype=np.uint8)
    return image
