"""From the scores of coordinates to keypoints, in NumPy."""

import numpy as np

from everypose.core.arrays import Float32
from everypose.core.geometry import Size


def decode(x_scores: Float32, y_scores: Float32, crop_size: Size) -> Float32:
    """Take the highest-scoring coordinate on each axis (SimCC, Section 3).

    Args:
        x_scores: (B, K, X) for X equally spaced columns of the crop, from 0; RTMPose has two for each pixel.
        y_scores: (B, K, Y) for Y equally spaced rows.
        crop_size: (width, height) of the crops, in pixels.

    Returns:
        (B, K, 3): x, y in crop pixels, and the mean of the two highest scores. A keypoint whose score is not above 0 is
        not found: its x and y are 0.

    Example:
        >>> x, y = np.zeros((1, 1, 8), np.float32), np.zeros((1, 1, 12), np.float32)
        >>> x[0, 0, 5], y[0, 0, 2] = 0.75, 0.25
        >>> decode(x, y, Size(4, 6)).tolist()
        [[[2.5, 1.0, 0.5]]]
    """
    x, y = x_scores.argmax(axis=2), y_scores.argmax(axis=2)
    score = (x_scores.max(axis=2) + y_scores.max(axis=2)) / 2
    found = score > 0
    columns = np.where(found, x * (crop_size.width / x_scores.shape[2]), 0)
    rows = np.where(found, y * (crop_size.height / y_scores.shape[2]), 0)
    return np.stack([columns, rows, score], axis=2).astype(np.float32)
