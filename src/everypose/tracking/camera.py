"""Motion of the camera between frames, from corners of the background that optical flow follows."""

import math

import cv2
import numpy as np

from everypose.core.arrays import Float32, Float64, Image

WORKING_SIDE = 480
"""Frames are shrunk by a whole number, which is fast, so that their longer side is at most this."""
CORNERS = 60
FEWEST_CORNERS = 20
"""Below it, the motion is not estimated: the camera counts as still."""
CORNER_DISTANCE = 8
"""Corners are at least this many pixels of the shrunk frame apart."""
WINDOW = (15, 15)
"""Pixels of the shrunk frame around a corner that optical flow compares."""
FLOW_ENDS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
"""Optical flow ends after 10 iterations, or when one moves a corner by less than 0.03 pixels."""
INLIER_DISTANCE = 1.5
"""RANSAC's threshold in pixels of the shrunk frame."""


class CameraMotion:
    """Follows the camera from frame to frame.

    Example:
        >>> still = np.zeros((48, 64, 3), np.uint8)
        >>> CameraMotion().update(still, np.zeros((0, 4))).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    def __init__(self) -> None:
        self._previous: Image | None = None
        self._corners: Float32 | None = None

    def update(self, image: Image, boxes: Float64) -> Float64:
        """The (2, 3) similarity from the previous frame's pixel coordinates to this one's.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes: (N, 4) x1 y1 x2 y2 people, who move by themselves: corners inside are not used.
        """
        divisor = min(math.ceil(max(image.shape[:2]) / WORKING_SIDE), *image.shape[:2])
        gray = _shrunk(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), divisor)
        matrix = np.eye(2, 3)
        if self._previous is not None and self._previous.shape == gray.shape and self._corners is not None:
            matrix = _similarity(self._previous, gray, self._corners)
            # Pixel centers are integers: (x + 0.5) / divisor - 0.5 is a pixel's place in the shrunk frame.
            middle = np.full(2, 0.5 * divisor - 0.5)
            matrix[:, 2] = matrix[:, 2] * divisor + middle - matrix[:, :2] @ middle
        self._previous = gray
        self._corners = _background_corners(gray, boxes / divisor)
        return matrix


def _shrunk(image: Image, divisor: int) -> Image:
    """The image, smaller by a whole number; rows and columns that are left over at its end are not used."""
    height, width = (side // divisor for side in image.shape[:2])
    if divisor == 1:
        return image
    whole = image[: height * divisor, : width * divisor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _background_corners(gray: Image, boxes: Float64) -> Float32 | None:
    """Corners (C, 1, 2) outside the boxes; None when there are none.

    The corners of the image at half its size, in a fifth of the time: optical flow needs no exact corners.
    """
    if min(gray.shape) < max(WINDOW):
        return None
    small = _shrunk(gray, 2)
    mask = np.full(small.shape, 255, np.uint8)
    for x1, y1, x2, y2 in (boxes / 2).round().clip(0, max(small.shape)).astype(int):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    corners: Float32 | None = cv2.goodFeaturesToTrack(small, CORNERS, 0.01, CORNER_DISTANCE / 2, mask=mask)
    return None if corners is None else 2 * corners + np.float32(0.5)


def _similarity(previous: Image, current: Image, corners: Float32) -> Float64:
    """The (2, 3) similarity that moves most corners from the previous frame to where flow finds them."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(previous, current, corners, None, winSize=WINDOW, criteria=FLOW_ENDS)
    found = found.ravel().astype(bool)
    if found.sum() < FEWEST_CORNERS:
        return np.eye(2, 3)
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[found], moved[found], method=cv2.RANSAC, ransacReprojThreshold=INLIER_DISTANCE
    )
    if matrix is None or inliers.sum() < FEWEST_CORNERS:
        return np.eye(2, 3)
    similarity: Float64 = matrix
    return similarity
