"""Regions of a photo: the pixels that a person takes, what others hide of them, and their outlines."""

from dataclasses import dataclass

import cv2
import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.data.crowds.cutouts import occupied


@dataclass(frozen=True)
class Region:
    """Pixels of a photo: those of ``mask`` (h, w) bool, whose corner is in row ``top`` and column ``left``.

    >>> region = Region(2, 3, np.ones((2, 2), bool))
    >>> region.without(Region(3, 0, np.ones((9, 9), bool))).mask.tolist()
    [[True, True], [False, False]]
    """

    top: int
    left: int
    mask: Mask

    @classmethod
    def of(cls, mask: Mask) -> "Region":
        """The pixels of a mask (H, W) bool of the whole photo."""
        rows, columns = occupied(mask)
        return cls(rows.start, columns.start, mask[rows, columns].copy())

    def without(self, front: "Region") -> "Region | None":
        """What is left where another region lies in front; None if that covers no pixel of this one."""
        top, left = max(self.top, front.top), max(self.left, front.left)
        bottom = min(self.top + self.mask.shape[0], front.top + front.mask.shape[0])
        right = min(self.left + self.mask.shape[1], front.left + front.mask.shape[1])
        if top >= bottom or left >= right:
            return None
        covered = front.mask[top - front.top : bottom - front.top, left - front.left : right - front.left]
        own = np.s_[top - self.top : bottom - self.top, left - self.left : right - self.left]
        if not (self.mask[own] & covered).any():
            return None
        mask = self.mask.copy()
        mask[own] &= ~covered
        return Region(self.top, self.left, mask)


def hide_covered(keypoints: Float64, mask: Mask, corner: tuple[int, int] = (0, 0)) -> Float64:
    """Turn visible keypoints (2) into hidden ones (1) where the mask covers the pixel that they lie in.

    Args:
        keypoints: (N, K, 3) x, y, visibility; coordinates may lie outside the image.
        mask: (H, W) bool, what is in front.
        corner: column and row of the image that the mask begins with.

    Returns:
        A changed copy.

    >>> mask = np.zeros((4, 4), bool)
    >>> mask[1, 1] = True
    >>> hide_covered(np.array([[1.0, 1, 2], [3, 3, 2]]), mask)[:, 2].tolist()
    [1.0, 2.0]
    """
    columns, rows = (np.rint(keypoints[..., axis]).astype(int) - corner[axis] for axis in (0, 1))
    inside = (columns >= 0) & (columns < mask.shape[1]) & (rows >= 0) & (rows < mask.shape[0])
    covered = inside & mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)]
    updated = keypoints.copy()
    updated[covered & (keypoints[..., 2] > 1), 2] = 1
    return updated


def outlines(mask: Mask, corner: tuple[int, int] = (0, 0)) -> list[list[float]]:
    """COCO polygons of a mask (H, W) bool, one for each connected part; holes are filled.

    Args:
        mask: the pixels.
        corner: column and row of the image that the mask begins with.

    >>> mask = np.zeros((10, 10), bool)
    >>> mask[2:6, 2:6] = True
    >>> len(outlines(mask))
    1
    """
    # Contours run through pixel centers. Traced at twice the size, they go round the centers of the mask's own
    # pixels, a quarter of a pixel inside the border, so that every way of filling them gives the same mask.
    if not mask.any():
        return []
    twice = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    origin = 2 * corner[0], 2 * corner[1]
    found, _ = cv2.findContours(twice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=origin)
    return [((outline.reshape(-1) + 0.5) / 2).tolist() for outline in found]
