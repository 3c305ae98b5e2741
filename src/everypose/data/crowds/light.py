"""The pixels of pasted people: their light moved towards that of the place, and their soft edges blended in."""

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Image
from everypose.data.crowds.cutouts import CutOut, row_bands


def relit(cutout: CutOut, surroundings: Image, strength: float) -> Image:
    """The cut-out's pixels with brightness and contrast moved towards those of the place.

    The mean and the standard deviation of the luminance move by ``strength`` of the way; hue stays.

    Args:
        cutout: what is to be lit.
        surroundings: (h, w, 3) uint8 RGB, what it will cover.
        strength: 0 leaves it as it is, 1 matches both.

    Returns:
        (H, W, 3) uint8 RGB, the cut-out's size.

    >>> alpha, keypoints = np.ones((4, 2), np.float32), np.zeros((17, 3))
    >>> pixels = np.full((4, 2, 3), 100, np.uint8)
    >>> cutout = CutOut(pixels, alpha, keypoints, np.array([0.0, 0, 2, 4]), 8.0, 1.0, "b.jpg", 7, True)
    >>> relit(cutout, np.full((4, 2, 3), 50, np.uint8), strength=0.5)[0, 0].tolist()  # half as bright around it
    [75, 75, 75]
    """
    gray = cv2.cvtColor(cutout.pixels, cv2.COLOR_RGB2GRAY)
    inside = cutout.alpha > 0.5
    if not inside.any():
        return cutout.pixels
    own_mean, own_deviation = _light(gray[inside])
    mean, deviation = _light(cv2.cvtColor(surroundings, cv2.COLOR_RGB2GRAY))
    contrast = 1 + strength * (float(np.clip((deviation + 1) / (own_deviation + 1), 0.5, 1.5)) - 1)
    brightness = float(own_mean) + strength * float(mean - own_mean)
    lit = np.empty_like(cutout.pixels)
    for band in row_bands(*gray.shape):
        luminance = gray[band].astype(np.float32)
        change = (luminance - own_mean) * contrast + brightness - luminance
        lit[band] = np.rint(cutout.pixels[band] + change[..., None]).clip(0, 255)
    return lit


def _light(luminance: npt.NDArray[np.generic]) -> tuple[np.float32, np.float32]:
    """Mean and standard deviation."""
    values = luminance.astype(np.float32)
    return values.mean(), values.std()


def blended(front: Image, behind: Image, alpha: Float32) -> Image:
    """``front`` where alpha (h, w) is 1, ``behind`` where it is 0, both (h, w, 3) uint8.

    >>> front, behind = np.full((1, 2, 3), 200, np.uint8), np.zeros((1, 2, 3), np.uint8)
    >>> blended(front, behind, np.array([[0.5, 0.0]], np.float32))[..., 0].tolist()
    [[100, 0]]
    """
    mixed = np.empty_like(front)
    for band in row_bands(*alpha.shape):
        weight = alpha[band][..., None]
        mixed[band] = np.rint(front[band] * weight + behind[band] * (1 - weight))
    return mixed
