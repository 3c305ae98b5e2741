"""DETRPose (Janampa and Pattichis, 2025): from the outputs of its ONNX file to people, in NumPy."""

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32
from everypose.core.geometry import Size
from everypose.methods.fixed_input.settings import FixedInputInference

PERSON = 1
"""The class of people; the network has a class 0, which is unused."""
MIN_SCORE = 0.4
"""Lowest score of a person in the authors' tool."""


def released_inference(input_size: Size) -> FixedInputInference:
    """Return how the authors run DETRPose: each query is another person, so there is no suppression of duplicates.

    >>> released_inference(Size(640, 640)).fit
    'stretch'
    """
    return FixedInputInference(input_size=input_size, fit="stretch", nms=None, min_score=MIN_SCORE)


def decode(
    scores: Float32, labels: npt.NDArray[np.integer], points: Float32, *, min_score: float
) -> tuple[Float32, Float32]:
    """Select the people of one image.

    Args:
        scores: (N,) of the best pairs of query and class, after the sigmoid.
        labels: (N,) their classes.
        points: (N, K, 2) x, y in input pixels.
        min_score: people whose score is not above this are left out.

    Returns:
        (M, K, 3) keypoints and (M,) scores, best first. The file has no scores of keypoints: each has its person's.

    >>> decode(np.float32([0.5, 0.75]), np.array([1, 0]), np.zeros((2, 17, 2), np.float32), min_score=0.4)[1].tolist()
    [0.5]
    """
    order = np.argsort(-scores, kind="stable")
    order = order[(labels[order] == PERSON) & (scores[order] > min_score)]
    confidence = np.broadcast_to(scores[order, None, None], (len(order), points.shape[1], 1))
    return np.concatenate([points[order], confidence], axis=2), scores[order]
