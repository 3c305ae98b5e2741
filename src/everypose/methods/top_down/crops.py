"""From a person's box to the crop that is a network's input.

A *region* is the part of the image that fills a crop: its center (x, y) and its size (width, height), in image pixels.
There are two conventions of how pixels of the region and of the crop correspond:

- ``classic``, of SimpleBaseline, HRNet and MIPNet: one factor for both axes, by the widths; a crop is as long as the
  number of its pixels, W.
- ``udp``, unbiased data processing (Huang et al., CVPR 2020): a factor for each axis; a crop reaches from the center of
  its first pixel to that of its last, W - 1. Positive rotations turn in the opposite direction to ``classic``.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Mask
from everypose.core.geometry import Size, similarity
from everypose.errors import EveryposeError
from everypose.methods.top_down.settings import Convention, CropRule

CROP_SIZE = Size(192, 256)

# MPII's boxes are squares of the person's height H; the region lies 15 pixels lower at a height of 200.
_MPII_LOWER = 15 / 200


@dataclass(frozen=True)
class CropGeometry:
    """How boxes become crops; one for each data set.

    Attributes:
        size: (width, height) of a crop, pixels.
        convention: how image and crop pixels correspond.
        padding: the region's size, as a factor of the box with the crop's aspect.
        rule: ``box``: the region is the box, its short side enlarged to the crop's aspect; ``mpii``: the square about
            a person of MPII's, as PoseBH takes it.

    >>> geometry = CropGeometry(Size(192, 256))
    >>> centers, sizes = geometry.regions([[0, 0, 30, 80]])
    >>> centers.tolist(), sizes.tolist()  # the short side enlarged to 3:4, both times 1.25
    ([[15.0, 40.0]], [[75.0, 100.0]])
    """

    size: Size = CROP_SIZE
    convention: Convention = "classic"
    padding: float = 1.25
    rule: CropRule = "box"

    @property
    def aspect(self) -> float:
        """Width over height of a crop."""
        return self.size[0] / self.size[1]

    def regions(self, boxes: npt.ArrayLike) -> tuple[Float64, Float64]:
        """The regions of boxes (N, 4) x1 y1 x2 y2: centers (N, 2), sizes (N, 2)."""
        if self.rule == "mpii":
            return mpii_regions(boxes, self.padding)
        return crop_regions(boxes, self.aspect, self.padding)

    def cleaned(self, boxes: npt.ArrayLike, image_size: Size) -> Float64:
        """Annotated boxes (N, 4), clipped to the image unless they are MPII's, which say a person's size."""
        if self.rule == "mpii":
            return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        return clean_boxes(boxes, image_size)[0]

    def matrix(self, center: npt.ArrayLike, size: npt.ArrayLike, rotation: float = 0.0) -> Float64:
        """The (2, 3) matrix from the image to a region's crop."""
        return crop_matrix(center, size, self.size, rotation, self.convention)


def clean_boxes(boxes: npt.ArrayLike, image_size: Size) -> tuple[Float64, Mask]:
    """Clip annotated boxes to the image, as all three methods do with the ground truth but not with detections.

    The first corner goes to 0 at least, keeping the size; then the last corner, which is the last pixel inside and so
    one less than x + width, to the image's last pixel.

    Args:
        boxes: (N, 4) x1 y1 x2 y2, image pixels.
        image_size: (width, height)

    Returns:
        (N, 4) clipped boxes, and (N,) whether there is anything left to crop.

    >>> boxes, usable = clean_boxes([[-5, 0, 50, 200], [300, 0, 320, 10]], Size(100, 80))
    >>> boxes[0].tolist(), usable.tolist()
    ([0.0, 0.0, 54.0, 79.0], [True, False])
    """
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    first = given[:, :2].clip(min=0)
    extent = (given[:, 2:] - given[:, :2] - 1).clip(min=0)
    last = np.minimum(first + extent, np.subtract(image_size, 1))
    usable = (last >= first).all(axis=1) & (last > first).any(axis=1)
    return np.concatenate([first, last], axis=1), usable


def crop_regions(boxes: npt.ArrayLike, aspect: float, padding: float = 1.25) -> tuple[Float64, Float64]:
    """The regions of boxes: their short side enlarged to the crop's aspect, then both by ``padding``.

    Args:
        boxes: (N, 4) x1 y1 x2 y2, image pixels.
        aspect: width over height of a crop.
        padding: factor.

    Returns:
        centers (N, 2), sizes (N, 2).

    >>> centers, sizes = crop_regions([[0, 0, 30, 80]], aspect=0.75)
    >>> centers.tolist(), sizes.tolist()
    ([[15.0, 40.0]], [[75.0, 100.0]])
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    return centers, padding * _with_aspect(corners[:, 2:] - corners[:, :2], aspect)


def mpii_regions(boxes: npt.ArrayLike, padding: float = 1.25) -> tuple[Float64, Float64]:
    """The square regions of MPII's people, whose boxes are squares of the person's height.

    See :mod:`everypose.data.formats.mpii`.

    A square stays one although crops are 3:4, so UDP crops are squeezed. Boxes that others draw around people are made
    squares of their longer side first, as in training.

    Args:
        boxes: (N, 4) x1 y1 x2 y2, image pixels.
        padding: factor.

    Returns:
        centers (N, 2), sizes (N, 2).

    >>> mpii_regions([[0, 0, 80, 80]])[1].tolist()
    [[100.0, 100.0]]
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    sides = (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True).repeat(2, axis=1)
    centers = (corners[:, :2] + corners[:, 2:]) / 2 + sides * (0, _MPII_LOWER)
    return centers, padding * sides


def keypoint_region(points: npt.ArrayLike, aspect: float, padding: float) -> tuple[Float64, Float64]:
    """The region about points (P, 2): their mean, and their extent with the crop's aspect times ``padding``.

    Returns:
        center (2,), size (2,).

    >>> center, size = keypoint_region([[0, 0], [10, 40]], aspect=0.75, padding=1.5)
    >>> center.tolist(), size.tolist()
    ([5.0, 20.0], [45.0, 60.0])
    """
    xy = np.asarray(points, dtype=np.float64)
    extent = xy.max(axis=0) - xy.min(axis=0)
    return xy.mean(axis=0), padding * _with_aspect(extent[None], aspect)[0]


def _with_aspect(sizes: Float64, aspect: float) -> Float64:
    """(N, 2) sizes, the side that is too short enlarged."""
    width, height = sizes.T
    return np.stack([np.maximum(width, aspect * height), np.maximum(height, width / aspect)], axis=1)


def crop_matrix(
    center: npt.ArrayLike,
    size: npt.ArrayLike,
    output_size: Size,
    rotation: float = 0.0,
    convention: Convention = "classic",
) -> Float64:
    """The (2, 3) matrix from image to crop pixels.

    Args:
        center: (2,) x, y of the region.
        size: (2,) width, height of the region; the classic convention uses the width only.
        output_size: (width, height) of the crop.
        rotation: degrees; positive turns the picture counter-clockwise in the classic convention, clockwise in UDP.
        convention: of the correspondence.

    Raises:
        EveryposeError: if the region has no extent.

    >>> crop_matrix([50, 40], [60, 80], Size(192, 256)).round(2).tolist()
    [[3.2, 0.0, -64.0], [-0.0, 3.2, 0.0]]
    """
    width, height = np.asarray(size, dtype=np.float64)
    if not (width > 0 and height > 0 and np.isfinite([width, height]).all()):
        raise EveryposeError(f"a region of {width:g} x {height:g} pixels cannot be cropped: leave its box out")
    if convention == "classic":
        return similarity(center, output_size[0] / width, rotation, np.divide(output_size, 2))
    turned = similarity(center, 1.0, -rotation, (width / 2, height / 2))
    return turned * np.divide(np.subtract(output_size, 1), (width, height))[:, None]


def warp(image: npt.NDArray[np.uint8], matrix: Float64, output_size: Size) -> npt.NDArray[np.uint8]:
    """The crop (h, w, 3) of an image (H, W, 3), both uint8; bilinear, black outside the image.

    Args:
        image: any channel order.
        matrix: (2, 3) from image to crop pixels.
        output_size: (width, height) of the crop.

    >>> image = np.arange(12, dtype=np.uint8).repeat(3).reshape(3, 4, 3)
    >>> warp(image, np.array([[1.0, 0, -1], [0, 1, 0]]), Size(2, 1))[..., 0].tolist()  # one pixel to the right
    [[1, 2]]
    """
    return np.asarray(cv2.warpAffine(image, matrix, output_size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
