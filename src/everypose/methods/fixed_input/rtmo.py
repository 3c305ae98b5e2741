"""RTMO (Lu et al., CVPR 2024): from the outputs of its ONNX file to people, in NumPy."""

import numpy as np

from everypose.core.arrays import Float32
from everypose.core.geometry import Size, box_iou, suppress
from everypose.methods.fixed_input.settings import FixedInputInference

NMS = 0.65
"""IoU of boxes above which the lower-scoring person is suppressed (``nms_thr`` of the authors' configuration)."""
MIN_SCORE = 0.1
"""Lowest score of a person (``score_thr`` of the authors' configuration)."""


def released_inference(input_size: Size) -> FixedInputInference:
    """Return how the authors run RTMO.

    >>> released_inference(Size(640, 640)).nms
    0.65
    """
    return FixedInputInference(input_size=input_size, fit="corner", nms=NMS, min_score=MIN_SCORE)


def decode(detections: Float32, keypoints: Float32, *, min_score: float, nms: float | None) -> tuple[Float32, Float32]:
    """Select the people of one image.

    Released files have suppressed duplicates already; other exports have not.

    Args:
        detections: (N, 5) x1, y1, x2, y2 in input pixels, score.
        keypoints: (N, K, 3) x, y in input pixels, visibility.
        min_score: people whose score is not above this are left out.
        nms: of two people whose boxes have a higher IoU than this, the one with the lower score is left out; None
            keeps all.

    Returns:
        (M, K, 3) keypoints and (M,) scores, best first.

    >>> boxes = np.array([[0, 0, 9, 9, 0.5], [0, 0, 9, 10, 0.9], [50, 0, 59, 9, 0.01]], np.float32)
    >>> found, scores = decode(boxes, np.zeros((3, 17, 3), np.float32), min_score=0.1, nms=0.65)
    >>> found.shape, scores.tolist()
    ((1, 17, 3), [0.8999999761581421])
    """
    scores = detections[:, 4]
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > min_score]
    if nms is not None:
        boxes = detections[order, :4]
        order = order[suppress(box_iou(boxes, boxes) > nms, np.arange(len(order)))]
    return keypoints[order], scores[order]
